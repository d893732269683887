//! Decodes a row group in a process of its own, where the lengths that decide what the decoder allocates are seen only by
//! decoding: the process has limits, and its death is an error of the file instead of the end of the program.
//!
//! The process is the same program. Its `main` calls [`decode_if_asked`] before anything else.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio, exit};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parquet::DecodeResult;
use parquet::file::metadata::ParquetMetaDataReader;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::decode::ReadPlan;
use crate::guard::UtcTimes;
use crate::reader::{Columns, ReadError};

/// The only argument of the process.
const ARGUMENT: &str = "--decode-row-group";

/// Bytes of memory that the process may map.
const MEMORY: u64 = 512 << 20;

/// Seconds of CPU time that the process may use, and bytes that it decodes for one more.
const SECONDS: u64 = 4;
const BYTES_PER_SECOND: u64 = 4 << 20;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Bytes of a row group that the process takes, which has them in memory with what it decodes.
const GROUP_BYTES_MAX: u64 = 128 << 20;

/// What the process is asked to decode. On its standard input the length of this in four bytes comes first, then this, then the bytes
/// of the chunks.
#[derive(Serialize, Deserialize)]
struct Request<'a> {
    columns: Columns,
    group: usize,
    footer: &'a [u8],
    /// First byte and length of each chunk.
    chunks: Vec<(u64, u64)>,
}

/// Chunks of one row group.
#[derive(Default)]
pub(crate) struct Unchecked {
    group: usize,
    chunks: Vec<(u64, Bytes)>,
    is_needed: bool,
    /// Time and bytes that the file has taken so far.
    taken: Duration,
    sent: u64,
}

impl Unchecked {
    /// Adds a chunk, and whether its pages were checked completely.
    pub(crate) fn add(&mut self, group: usize, is_complete: bool, chunk: (u64, Bytes)) {
        if group != self.group {
            *self = Self { group, taken: self.taken, sent: self.sent, ..Self::default() };
        }
        self.is_needed |= !is_complete;
        self.chunks.push(chunk);
    }

    /// Has the row group decoded by another process if a chunk of it was not checked completely.
    ///
    /// # Errors
    /// [`ReadError::Child`] with the reason that it gave, or with how it died.
    pub(crate) fn decode_elsewhere(&mut self, footer: &[u8], columns: Columns) -> Result<(), ReadError> {
        let (group, chunks) = (self.group, std::mem::take(&mut self.chunks));
        if !std::mem::take(&mut self.is_needed) {
            return Ok(());
        }
        let failed = |detail: String| ReadError::Child { group, detail };
        let program = PROGRAM.get().ok_or_else(|| {
            failed("this program has none for texts with delta lengths or long dictionaries, nor for the codecs LZ4 and LZO".into())
        })?;
        let bytes: u64 = chunks.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        if bytes > GROUP_BYTES_MAX {
            return Err(failed(format!("it has {bytes} bytes: at most {GROUP_BYTES_MAX} are decoded so")));
        }
        self.sent += bytes;
        let began = Instant::now();
        let child = Command::new(program)
            .arg(ARGUMENT)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let ranges = chunks.iter().map(|(start, bytes)| (*start, bytes.len() as u64)).collect();
        let request = Request { columns, group, footer, chunks: ranges };
        let request = postcard::to_stdvec(&request).map_err(|error| failed(error.to_string()))?;
        let ended = child.and_then(|child| answer(child, &request, &chunks));
        ended.map_err(|error| failed(error.to_string()))?.map_err(failed)?;
        self.taken += began.elapsed();
        // The limits of a process are those of one row group, and a file can have thousands.
        let allowed = Duration::from_secs(SECONDS + self.sent / BYTES_PER_SECOND);
        if self.taken > allowed {
            return Err(failed(format!(
                "the file has taken {:.1} s so far: at most {allowed:?}",
                self.taken.as_secs_f64()
            )));
        }
        Ok(())
    }
}

/// Sends the request and waits for the end of the process.
fn answer(mut child: Child, request: &[u8], chunks: &[(u64, Bytes)]) -> std::io::Result<Result<(), String>> {
    let send = |mut stdin: ChildStdin| {
        stdin.write_all(&(request.len() as u32).to_le_bytes())?;
        stdin.write_all(request)?;
        chunks.iter().try_for_each(|(_, bytes)| stdin.write_all(bytes))
    };
    // If the process dies before it has read everything, its status is the reason.
    let sent = child.stdin.take().map_or(Ok(()), send);
    let output = child.wait_with_output()?;
    if output.status.success() {
        return sent.map(Ok);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    // The first line that is not about a panic's place and backtrace.
    let is_reason = |line: &&str| {
        !line.is_empty()
            && ["thread ", "note:", "stack backtrace"].iter().all(|start| !line.starts_with(start))
    };
    let reason = stderr.lines().map(str::trim).find(is_reason).unwrap_or("no reason");
    Ok(Err(format!("{} ({reason})", output.status)))
}

/// Decodes a row group and exits, if this process was started for that. Otherwise it notes that this program may be started so; a
/// program that never calls this refuses files for which it would be needed.
pub fn decode_if_asked() {
    if std::env::args_os().nth(1).is_none_or(|argument| argument != ARGUMENT) {
        if let Ok(program) = std::env::current_exe() {
            let _ = PROGRAM.set(program);
        }
        return;
    }
    let outcome = decode(&mut std::io::stdin().lock());
    if let Err(detail) = &outcome {
        let _ = writeln!(std::io::stderr(), "{detail}");
    }
    exit(i32::from(outcome.is_err()));
}

fn decode(input: &mut impl Read) -> Result<(), String> {
    let limit = |resource, limit| {
        // Systems that have no such limit decode without it.
        let _ = setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) });
    };
    limit(Resource::As, MEMORY);
    limit(Resource::Core, 0);
    let read = |input: &mut dyn Read, length: u64| -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; usize::try_from(length).map_err(|error| error.to_string())?];
        input.read_exact(&mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    };
    let length = read(input, 4)?.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    let request = read(input, length.into())?;
    let Request { columns, group, footer, chunks } =
        postcard::from_bytes(&request).map_err(|error| error.to_string())?;
    let bytes: u64 = chunks.iter().map(|(_, length)| length).sum();
    limit(Resource::Cpu, SECONDS + bytes / BYTES_PER_SECOND);
    let metadata = ParquetMetaDataReader::decode_metadata(footer).map_err(|error| error.to_string())?;
    let plan = ReadPlan::new(&Arc::new(metadata), columns, UtcTimes::default());
    let (mut decoder, _) =
        plan.and_then(|plan| plan.decoder(Some(group))).map_err(|error| model::chain(&error))?;
    for (start, length) in chunks {
        let bytes = Bytes::from(read(input, length)?);
        decoder.push_range(start..start + length, bytes).map_err(|error| error.to_string())?;
    }
    loop {
        match decoder.try_decode().map_err(|error| error.to_string())? {
            DecodeResult::Data(_) => {}
            DecodeResult::Finished => return Ok(()),
            DecodeResult::NeedsData(ranges) => return Err(format!("it needs {} more ranges", ranges.len())),
        }
    }
}
