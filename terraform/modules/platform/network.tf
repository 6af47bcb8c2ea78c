# Pods reach AWS without the internet; each store answers the nodes alone, on its TLS port alone.

locals {
  interface_endpoints = ["ecr.api", "ecr.dkr", "logs", "monitoring", "sts", "kms", "secretsmanager", "athena", "glue"]
  ports = {
    endpoints  = 443
    redis      = 6379
    kafka      = 9098 # IAM over TLS; the plain port 9092 is open to nobody
    opensearch = 443
  }
}

resource "aws_security_group" "this" {
  for_each = local.ports

  name        = "${var.name}-${each.key}"
  description = "${each.key} of ${var.name}, from the nodes"
  vpc_id      = var.vpc_id
  tags        = merge(local.place.tags, { Name = "${var.name}-${each.key}" })
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  for_each = local.ports

  security_group_id            = aws_security_group.this[each.key].id
  description                  = "TLS from the nodes"
  referenced_security_group_id = var.node_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  tags                         = local.place.tags
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${local.place.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.private_route_table_ids
  tags              = merge(local.place.tags, { Name = "${var.name}-s3" })
}

resource "aws_vpc_endpoint" "interface" {
  for_each = toset(local.interface_endpoints)

  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${local.place.region}.${each.value}"
  vpc_endpoint_type   = "Interface"
  subnet_ids          = var.private_subnet_ids
  security_group_ids  = [aws_security_group.this["endpoints"].id]
  private_dns_enabled = true
  tags                = merge(local.place.tags, { Name = "${var.name}-${each.value}" })
}
