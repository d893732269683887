//! Decodes a row group in a process of its own, where the lengths that decide what the decoder allocates are seen only by
//! decoding: the process has limits, and its death is an error of the file instead of the end of the program.
//!
//! The process is the same program. Its `main` calls [`decode_if_asked`] before anything else.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio, exit};
use std::sync::{Arc, OnceLock};

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

/// What the process is asked to decode.
#[derive(Serialize, Deserialize)]
struct Request {
    columns: Columns,
    group: usize,
    footer: Vec<u8>,
    chunks: Vec<(u64, Vec<u8>)>,
}

/// Chunks of one row group.
#[derive(Default)]
pub(crate) struct Unchecked {
    group: usize,
    chunks: Vec<(u64, Bytes)>,
    is_needed: bool,
}

impl Unchecked {
    /// Adds a chunk, and whether its pages were checked completely.
    pub(crate) fn add(&mut self, group: usize, is_complete: bool, chunk: (u64, Bytes)) {
        if group != self.group {
            *self = Self { group, ..Self::default() };
        }
        self.is_needed |= !is_complete;
        self.chunks.push(chunk);
    }

    /// Has the row group decoded by another process if a chunk of it was not checked completely.
    ///
    /// # Errors
    /// [`ReadError::Child`] with the reason that it gave, or with how it died.
    pub(crate) fn decode_elsewhere(&mut self, footer: &[u8], columns: Columns) -> Result<(), ReadError> {
        let Self { group, chunks, is_needed } = std::mem::take(self);
        // The next chunks of the same row group, if any, join an empty list: the decoder asks for all chunks at once.
        self.group = group;
        if !is_needed {
            return Ok(());
        }
        let failed = |detail: String| ReadError::Child { group, detail };
        let program = PROGRAM.get().ok_or_else(|| {
            failed("this program has none for the encodings DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY, and for the codecs LZ4 and LZO".into())
        })?;
        let chunks = chunks.into_iter().map(|(start, bytes)| (start, bytes.to_vec())).collect();
        let request = Request { columns, group, footer: footer.to_vec(), chunks };
        let request = postcard::to_stdvec(&request).map_err(|error| failed(error.to_string()))?;
        let child = Command::new(program)
            .arg(ARGUMENT)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        child
            .and_then(|child| answer(child, &request))
            .map_err(|error| failed(error.to_string()))?
            .map_err(failed)
    }
}

/// Sends the request and waits for the end of the process.
fn answer(mut child: Child, request: &[u8]) -> std::io::Result<Result<(), String>> {
    // It may die before it has read all, which its status tells.
    let sent = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(request));
    let output = child.wait_with_output()?;
    if output.status.success() {
        return sent.map(Ok);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().last().unwrap_or_default().trim();
    Ok(Err(format!("{} ({said})", output.status)))
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
    let mut request = Vec::new();
    let outcome = match std::io::stdin().read_to_end(&mut request) {
        Ok(_) => decode(&request),
        Err(error) => Err(error.to_string()),
    };
    if let Err(detail) = &outcome {
        let _ = writeln!(std::io::stderr(), "{detail}");
    }
    exit(i32::from(outcome.is_err()));
}

fn decode(request: &[u8]) -> Result<(), String> {
    let seconds = SECONDS + request.len() as u64 / BYTES_PER_SECOND;
    for (resource, limit) in [(Resource::As, MEMORY), (Resource::Cpu, seconds), (Resource::Core, 0)] {
        // Systems that have no such limit decode without it.
        let _ = setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) });
    }
    let Request { columns, group, footer, chunks } =
        postcard::from_bytes(request).map_err(|error| error.to_string())?;
    let metadata = ParquetMetaDataReader::decode_metadata(&footer).map_err(|error| error.to_string())?;
    let plan = ReadPlan::new(&Arc::new(metadata), columns, UtcTimes::default());
    let (mut decoder, _) =
        plan.and_then(|plan| plan.decoder(Some(group))).map_err(|error| model::chain(&error))?;
    for (start, bytes) in chunks {
        let range = start..start + bytes.len() as u64;
        decoder.push_range(range, Bytes::from(bytes)).map_err(|error| error.to_string())?;
    }
    loop {
        match decoder.try_decode().map_err(|error| error.to_string())? {
            DecodeResult::Data(_) => {}
            DecodeResult::Finished => return Ok(()),
            DecodeResult::NeedsData(ranges) => return Err(format!("it needs {} more ranges", ranges.len())),
        }
    }
}
