# Clients name themselves by IAM over TLS; there is no plain listener and no client without a name.
resource "aws_msk_configuration" "this" {
  name           = var.name
  kafka_versions = ["3.8.x"]

  server_properties = join("\n", [
    "auto.create.topics.enable=false",
    "default.replication.factor=3",
    "min.insync.replicas=2",
    "allow.everyone.if.no.acl.found=false",
    "unclean.leader.election.enable=false",
    "",
  ])
}

resource "aws_msk_cluster" "this" {
  cluster_name           = var.name
  kafka_version          = "3.8.x"
  number_of_broker_nodes = 3
  enhanced_monitoring    = "PER_BROKER"
  tags                   = local.place.tags

  broker_node_group_info {
    instance_type   = var.kafka.instance_type
    client_subnets  = slice(var.private_subnet_ids, 0, 3)
    security_groups = [aws_security_group.this["kafka"].id]

    connectivity_info {
      public_access {
        type = "DISABLED"
      }
    }

    storage_info {
      ebs_storage_info {
        volume_size = var.kafka.storage_gb
      }
    }
  }

  client_authentication {
    unauthenticated = false

    sasl {
      iam = true
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = aws_kms_key.this.arn

    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  open_monitoring {
    prometheus {
      jmx_exporter {
        enabled_in_broker = true
      }

      node_exporter {
        enabled_in_broker = true
      }
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.this["kafka"].name
      }
    }
  }
}
