# Access logs of the buckets.

resource "aws_s3_bucket" "access_logs_bucket" {
  #checkov:skip=CKV_AWS_144:Logs are read where they were written, and go after a year
  #checkov:skip=CKV_AWS_145:S3 delivers access logs only to buckets that it encrypts with its own key
  #checkov:skip=CKV2_AWS_62:Nobody waits for events of this bucket
  bucket_prefix = "${var.name}-access-logs-"

  lifecycle {
    # See key.tf.
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "access_logs_bucket" {
  bucket = aws_s3_bucket.access_logs_bucket.bucket

  versioning_configuration {
    status = "Enabled"
  }
}

# S3 delivers access logs only to buckets with this encryption.
resource "aws_s3_bucket_server_side_encryption_configuration" "access_logs_bucket" {
  bucket = aws_s3_bucket.access_logs_bucket.bucket

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "access_logs_bucket" {
  bucket                  = aws_s3_bucket.access_logs_bucket.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "access_logs_bucket" {
  bucket = aws_s3_bucket.access_logs_bucket.bucket

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "access_logs_bucket" {
  bucket = aws_s3_bucket.access_logs_bucket.bucket

  rule {
    id     = "abandoned-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  rule {
    id     = "old-logs"
    status = "Enabled"

    filter {}

    expiration {
      days = 365
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  # S3 refuses a rule on versions before the bucket has versioning.
  depends_on = [aws_s3_bucket_versioning.access_logs_bucket]
}

resource "aws_s3_bucket_policy" "access_logs_bucket_policy" {
  bucket = aws_s3_bucket.access_logs_bucket.bucket
  policy = data.aws_iam_policy_document.access_logs_bucket_policy.json
}

data "aws_iam_policy_document" "access_logs_bucket_policy" {
  statement {
    sid     = "TlsOnly"
    effect  = "Deny"
    actions = ["s3:*"]
    resources = [
      aws_s3_bucket.access_logs_bucket.arn,
      "${aws_s3_bucket.access_logs_bucket.arn}/*",
    ]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid     = "S3WritesAccessLogs"
    actions = ["s3:PutObject"]
    resources = [
      "${aws_s3_bucket.access_logs_bucket.arn}/data/*",
      "${aws_s3_bucket.access_logs_bucket.arn}/models/*",
    ]

    principals {
      type        = "Service"
      identifiers = ["logging.s3.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}
