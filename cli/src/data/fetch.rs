//! `tripcast data fetch`: complete months from the TLC, with a manifest.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use model::artifact::sha256_hex;
use model::{Month, TaxiMonth};
use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::output::{Failure, Output, progress};

/// The URL where the TLC publishes its months.
const TLC: &str = "https://d37ci6vzurychx.cloudfront.net/trip-data";
const MANIFEST: &str = "manifest.json";

/// Download months of trips from the TLC; resumes partial downloads and skips complete ones.
#[derive(clap::Args)]
#[command(after_help = "Example:
  tripcast data fetch --taxi green --month 2021-01 --month 2021-02 --to trips")]
pub struct Args {
    /// The taxis; fhvhv are those of HVFHV, as Uber and Lyft.
    #[arg(long, default_value = "green", value_parser = ["green", "yellow", "fhvhv"])]
    taxi: String,
    /// A month, yyyy-mm; repeat for more.
    #[arg(long, required = true)]
    month: Vec<Month>,
    /// Folder to write to; created if missing. Its manifest.json holds size and sha256 of each file.
    #[arg(long, default_value = ".", value_name = "DIR")]
    to: PathBuf,
    /// URL where months are published.
    #[arg(long, default_value = TLC, value_name = "URL")]
    from: String,
}

/// The entry of a fetched file in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    url: String,
    bytes: u64,
    sha256: String,
}

type Manifest = BTreeMap<String, Entry>;

#[derive(Serialize)]
struct Fetched {
    file: PathBuf,
    bytes: u64,
    sha256: String,
    /// Whether it existed before.
    present: bool,
}

/// Runs the verb.
pub async fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    std::fs::create_dir_all(&args.to)?;
    let client =
        Client::builder().connect_timeout(Duration::from_secs(10)).read_timeout(Duration::from_secs(60));
    let client = client.build()?;
    let manifest_path = args.to.join(MANIFEST);
    let mut manifest: Manifest = match std::fs::read(&manifest_path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", manifest_path.display()))?
        }
        Err(_) => Manifest::new(),
    };
    let mut fetched = Vec::new();
    for month in &args.month {
        let name = TaxiMonth { taxi: args.taxi.clone(), month: *month }.file_name();
        let (file, url) = (args.to.join(&name), format!("{}/{name}", args.from.trim_end_matches('/')));
        let present = is_there(&file, manifest.get(&name));
        if !present {
            let entry = fetch(&client, &url, &file).await?;
            manifest.insert(name.clone(), entry);
            files::write(&manifest_path, serde_json::to_string_pretty(&manifest)?.as_bytes())?;
        }
        let entry = &manifest[&name];
        fetched.push(Fetched { file, bytes: entry.bytes, sha256: entry.sha256.clone(), present });
    }
    let line = |one: &Fetched| {
        let how = if one.present { "already there" } else { "fetched" };
        format!("{}: {how}, {} bytes, sha256 {}", one.file.display(), one.bytes, one.sha256)
    };
    out.print(&fetched, || fetched.iter().map(line).collect())
}

fn is_there(file: &Path, entry: Option<&Entry>) -> bool {
    entry.is_some_and(|entry| std::fs::read(file).is_ok_and(|bytes| sha256_hex(&bytes) == entry.sha256))
}

/// Fetches `url` into a temporary file and moves it to `file` when complete. Resumes an earlier attempt if the server
/// confirms that the file has not changed.
async fn fetch(client: &Client, url: &str, file: &Path) -> Result<Entry, Failure> {
    let (part, tag) = (file.with_extension("parquet.part"), file.with_extension("parquet.etag"));
    let begun = std::fs::metadata(&part).map_or(0, |meta| meta.len());
    let known = std::fs::read_to_string(&tag).unwrap_or_default();
    let mut request = client.get(url);
    if begun > 0 && !known.is_empty() {
        request = request.header(RANGE, format!("bytes={begun}-")).header(IF_RANGE, &known);
    }
    let advice = "check the connection, or use --from with a mirror, or `tripcast data generate`";
    let response = request
        .send()
        .await
        .map_err(|error| format!("cannot fetch {url}: {}; {advice}", model::chain(&error.without_url())))?;
    let resumed = response.status() == StatusCode::PARTIAL_CONTENT;
    if !response.status().is_success() {
        return Err(
            format!("cannot fetch {url}: the server responded with {}; {advice}", response.status()).into()
        );
    }
    let etag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
    std::fs::write(&tag, etag)?;
    let total = total_bytes(&response, resumed);
    let mut to = if resumed { OpenOptions::new().append(true).open(&part)? } else { File::create(&part)? };
    let bar = progress(total.unwrap_or_default(), &files::name_of(file));
    bar.set_position(if resumed { begun } else { 0 });
    receive(response, &mut to, &bar).await.map_err(|error| {
        format!("{url} ended early: {}; run the same command again to continue", model::chain(error.as_ref()))
    })?;
    bar.finish_and_clear();
    let bytes = std::fs::read(&part)?;
    if total.is_some_and(|total| total != bytes.len() as u64) {
        let total = total.unwrap_or_default();
        return Err(format!(
            "{url} ended early: {} of {total} bytes; run the same command again to continue",
            bytes.len()
        )
        .into());
    }
    if !(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1")) {
        std::fs::remove_file(&part)?;
        return Err(format!("{url} is no Parquet file ({} bytes): nothing was kept", bytes.len()).into());
    }
    std::fs::rename(&part, file)?;
    let _ = std::fs::remove_file(&tag);
    Ok(Entry { url: url.to_string(), bytes: bytes.len() as u64, sha256: sha256_hex(&bytes) })
}

async fn receive(mut response: Response, to: &mut File, bar: &ProgressBar) -> Result<(), Failure> {
    while let Some(chunk) = response.chunk().await? {
        to.write_all(&chunk)?;
        bar.inc(chunk.len() as u64);
    }
    Ok(to.flush()?)
}

fn total_bytes(response: &Response, resumed: bool) -> Option<u64> {
    if !resumed {
        return response.content_length();
    }
    response.headers().get(CONTENT_RANGE)?.to_str().ok()?.rsplit_once('/')?.1.parse().ok()
}
