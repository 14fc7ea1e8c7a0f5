"""The process that runs jobs: finds devices, claims work for them, supervises it. Never imports torch (J6)."""
