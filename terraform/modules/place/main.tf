# Where things lie and whose they are: checked once, for every module that makes something there.

data "aws_caller_identity" "current" {}

data "aws_region" "current" {}

output "place" {
  description = "var.place, the account, the cluster's issuer without https://, and the tags of everything."

  value = merge(var.place, {
    account        = data.aws_caller_identity.current.account_id
    cluster_issuer = split("oidc-provider/", var.place.cluster_oidc_provider_arn)[1]

    tags = {
      service     = var.name
      env         = var.place.env
      owner       = var.place.owner
      cost-centre = var.place.cost_centre
      data-class  = var.place.data_class
      managed-by  = "crm"
    }
  })

  precondition {
    condition     = data.aws_region.current.name == var.place.region
    error_message = "The provider works in another region than place.region says."
  }
}
