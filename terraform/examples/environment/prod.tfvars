env                = "prod"
account            = "444455556666"
databases          = { class = "db.m7g.xlarge", storage_gb = 200 }
kafka              = { instance_type = "kafka.m7g.large", storage_gb = 1000 }
redis_shards       = 3
opensearch         = { instance_type = "m7g.xlarge.search", storage_gb = 500 }
monthly_budget_usd = 1500
