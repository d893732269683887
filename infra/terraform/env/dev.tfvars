name                  = "tripcast-dev"
log_retention_days    = 30
application_log_level = "DEBUG"

# A new account has a concurrency of 10 in total, and the other functions need some of it.
scorer_concurrency_max = 5

tags = {
  application = "tripcast"
  stage       = "dev"
}
