name                  = "tripcast-dev"
log_retention_days    = 30
application_log_level = "DEBUG"

# A new account has 10 in all, and the other functions need some.
scorer_concurrency_max = 5

tags = {
  application = "tripcast"
  stage       = "dev"
}
