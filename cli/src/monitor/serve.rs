//! `tripcast monitor serve`: figures of the last day for Prometheus, and the reports as pages.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use chrono::NaiveDate;
use model::chain;
use monitor::{Monitor, Snapshot};
use platform::lambda::today;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::stored::Stores;
use crate::output::Failure;
use crate::times;

type Labels = Vec<(&'static str, &'static str)>;
type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;

/// Serve the figures of the last day to Prometheus on /metrics, and the reports as pages on /.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast monitor serve --data ./trips-store --models ./models
  tripcast monitor serve --data s3://my-data --models s3://my-models --port 9464 --refresh-seconds 600

It listens on this machine alone. A dashboard for Grafana is infra/grafana/tripcast-prometheus.json.")]
pub struct Args {
    #[command(flatten)]
    stores: Stores,
    /// Port on 127.0.0.1; 0 for a free one.
    #[arg(long, default_value_t = 9464)]
    port: u16,
    /// Days are judged again after this time.
    #[arg(long, default_value_t = 300)]
    refresh_seconds: u64,
    /// Judge the days before this one; by default today in New York.
    #[arg(long, value_parser = times::day)]
    day: Option<NaiveDate>,
}

struct Served {
    monitor: Monitor,
    day: Option<NaiveDate>,
    refresh: Duration,
    /// What was read last, and when.
    last: Mutex<Option<(Instant, Arc<Vec<Snapshot>>)>>,
}

/// Runs the verb until it is interrupted.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let served = Arc::new(Served {
        monitor: args.stores.monitor().await,
        day: args.day,
        refresh: Duration::from_secs(args.refresh_seconds),
        last: Mutex::default(),
    });
    let app = Router::new()
        .route("/", get(index))
        .route("/{source}", get(page))
        .route("/metrics", get(metrics))
        .with_state(served);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let listener =
        TcpListener::bind(address).await.map_err(|error| format!("listening on {address}: {error}"))?;
    writeln!(std::io::stderr(), "serving http://{}/metrics", listener.local_addr()?)?;
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    Ok(axum::serve(listener, app).with_graceful_shutdown(stop).await?)
}

impl Served {
    async fn snapshots(&self) -> Result<Arc<Vec<Snapshot>>, Response> {
        let mut last = self.last.lock().await;
        if let Some((at, snapshots)) = &*last
            && at.elapsed() < self.refresh
        {
            return Ok(Arc::clone(snapshots));
        }
        let read = self.monitor.snapshots(self.day.unwrap_or_else(today)).await;
        let read = Arc::new(read.map_err(|error| {
            tracing::error!(error_message = chain(&error), "the profiles could not be read");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", chain(&error))).into_response()
        })?);
        *last = Some((Instant::now(), Arc::clone(&read)));
        Ok(read)
    }
}

async fn metrics(State(served): State<Arc<Served>>) -> Result<Response, Response> {
    let text = prometheus(&served.snapshots().await?);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn index(State(served): State<Arc<Served>>) -> Result<Response, Response> {
    let snapshots = served.snapshots().await?;
    let link = |one: &Snapshot| {
        format!("<li><a href=\"/{0}\">{0}</a>: {1}</li>", one.source.name(), one.verdicts.join(" "))
    };
    let links: String = snapshots.iter().map(link).collect();
    Ok(Html(format!("<!doctype html><title>tripcast</title><ul>{links}</ul>")).into_response())
}

async fn page(State(served): State<Arc<Served>>, Path(source): Path<String>) -> Result<Response, Response> {
    let snapshots = served.snapshots().await?;
    let found = snapshots.iter().find(|snapshot| snapshot.source.name() == source);
    let missing = || (StatusCode::NOT_FOUND, format!("{source}: expected batch or stream\n")).into_response();
    Ok(Html(found.ok_or_else(missing)?.page.html()).into_response())
}

/// Returns the figures in Prometheus' text form: `tripcast_drift_score{source="batch"} 1.5`.
fn prometheus(snapshots: &[Snapshot]) -> String {
    let mut registry = Registry::with_prefix("tripcast");
    let mut families: Vec<(&'static str, Gauges)> = Vec::new();
    for snapshot in snapshots {
        for (metric, value) in &snapshot.metrics {
            let name = metric.name();
            let family = match families.iter().find(|(one, _)| *one == name) {
                Some((_, family)) => family.clone(),
                None => {
                    let family = Family::default();
                    let help = format!("{name} of the last day");
                    registry.register(metric.snake_case_name(), help, Family::clone(&family));
                    families.push((name, family.clone()));
                    family
                }
            };
            family.get_or_create(&vec![("source", snapshot.source.name())]).set(*value);
        }
    }
    let mut text = String::new();
    // Writing to a text does not fail.
    let _ = encode(&mut text, &registry);
    text
}
