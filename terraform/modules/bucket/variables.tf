variable "name" {
  type        = string
  description = "Name of the bucket; unique in all of AWS."
}

variable "tags" {
  type        = map(string)
  description = "Tags of the bucket."
}

variable "kms_key_arn" {
  type        = string
  description = "Key that encrypts every object."
}

variable "access_log_bucket" {
  type        = string
  description = "Bucket of the same account and region that takes the access logs."
}

variable "noncurrent_days" {
  type        = number
  description = "Days that a replaced or deleted object can be brought back."
  default     = 90
}

variable "expire" {
  type        = map(number)
  description = "Prefix to days after which its objects are deleted."
  default     = {}
}

variable "archive" {
  type        = map(number)
  description = "Prefix to days after which its objects move to infrequent access; at least 30."
  default     = {}
}

variable "statements" {
  type        = any
  description = "Further statements of the bucket policy, each an object as in policy JSON."
  default     = []
}
