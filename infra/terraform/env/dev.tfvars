name                  = "tripcast-dev"
log_retention_days    = 30
application_log_level = "DEBUG"

tags = {
  application = "tripcast"
  stage       = "dev"
}
