//! `tripcast serve`: the answers of the web function on a socket, with the limits that API Gateway has elsewhere.

use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use registry::{Models, Registry};
use store::StoreUri;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use web::{App, router};

use crate::output::Failure;

/// Time in which the head of a request has to come, and in which a connection may be idle.
const HEAD: Duration = Duration::from_secs(15);
/// Time in which a client has to read some of an answer.
const WRITE: Duration = Duration::from_secs(15);
/// Time that requests are given to end after a signal.
const END: Duration = Duration::from_secs(10);
/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 1024;

/// Answer over HTTP as the web function does: trips to /predict, MLflow's protocol at /invocations, the Open Inference Protocol below /v2.
///
/// The champions of the store answer, and new ones within --refresh-seconds. Whoever can reach the address can ask; put a gateway in front
/// of any other than one of this machine.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast serve --store ./models
  tripcast serve --store s3://my-models --listen 127.0.0.1:9696
  curl -H 'Content-Type: application/json' http://127.0.0.1:8080/predict \\
      -d '{\"PULocationID\": 10, \"DOLocationID\": 50, \"trip_distance\": 40}'")]
pub struct Args {
    /// Store of the models: s3://bucket or a directory.
    #[arg(long)]
    store: StoreUri,
    /// Address to listen on; port 0 for a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Champions are looked for after this time.
    #[arg(long, default_value_t = 30)]
    refresh_seconds: u64,
    /// Threads that answer, 0 for as many as the machine runs at once.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
}

/// Runs the verb until it is interrupted or terminated; then requests that have begun are answered.
pub async fn run(args: &Args) -> Result<(), Failure> {
    let registry = Registry::new(args.store.open().await);
    let models = Models::new(registry.clone(), Duration::from_secs(args.refresh_seconds), |_, _| ());
    let champions = models.bundle().await?.versions();
    let address = args.listen;
    let listener =
        TcpListener::bind(address).await.map_err(|error| format!("listening on {address}: {error}"))?;
    let tip = champions.tip.map_or("no tip model".into(), |tip| format!("tip {tip}"));
    writeln!(
        std::io::stderr(),
        "serving http://{} with duration {}, {tip}",
        listener.local_addr()?,
        champions.duration
    )?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let router = router(App::new(registry, models));
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                // Answers are small: to wait for more of them costs 40 ms.
                let _ = stream.set_nodelay(true);
                let connection = graceful.watch(connection(stream, router.clone()));
                tokio::spawn(async move {
                    // What goes wrong with a connection is its client's; its place is free afterwards.
                    let _ = connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(error_message = %error, "a connection was not accepted");
                // Where there are no more descriptors, some become free.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(END, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests that had begun were not answered within {END:?}");
    }
    Ok(())
}

/// A client's end of a connection.
type Client = TokioIo<Pin<Box<TimeoutStream<TcpStream>>>>;

fn connection(stream: TcpStream, router: Router) -> http1::Connection<Client, TowerToHyperService<Router>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD);
    server.serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router))
}
