"""Growth reports: read from the ledger and the rooms' own tables, never a guess.

`catalogue.report(name, params)` answers a Report; `drill.rows(name, params, key)` the rows that a line of it is made
of. Everything here works across tenants and enters the platform's scope by itself.
"""
