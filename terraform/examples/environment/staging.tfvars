env                = "staging"
account            = "111122223333"
databases          = { class = "db.m7g.large", storage_gb = 50 }
kafka              = { instance_type = "kafka.m7g.large", storage_gb = 100 }
redis_shards       = 1
opensearch         = { instance_type = "m7g.large.search", storage_gb = 50 }
monthly_budget_usd = 300
