name                   = "tripcast"
scorer_concurrency_max = 50

tags = {
  application = "tripcast"
  stage       = "prod"
}
