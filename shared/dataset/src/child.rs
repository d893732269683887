//! Decodes a row group in a process of its own, where the lengths that decide what the decoder allocates are seen only by
//! decoding: the process has limits, and its death by them is an error of the file instead of the end of the program.
//!
//! The process is the same program. Its `main` calls [`decode_if_asked`] before anything else.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio, exit};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parquet::DecodeResult;
use parquet::file::metadata::ParquetMetaDataReader;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use rustix::time::{ClockId, clock_gettime};
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
    /// Processor time and bytes that the file has taken so far.
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
    /// [`ReadError::Child`] with the reason that it gave, or with how it died; [`ReadError::NoChild`] if that was not the file's doing.
    pub(crate) fn decode_elsewhere(&mut self, footer: &[u8], columns: Columns) -> Result<(), ReadError> {
        if std::mem::take(&mut self.is_needed) {
            self.decode_by(PROGRAM.get(), footer, columns)?;
        }
        self.chunks.clear();
        Ok(())
    }

    fn decode_by(
        &mut self,
        program: Option<&PathBuf>,
        footer: &[u8],
        columns: Columns,
    ) -> Result<(), ReadError> {
        let (group, chunks) = (self.group, &self.chunks);
        let failed = |detail: String| ReadError::Child { group, detail };
        let program = program.ok_or_else(|| {
            failed("this program has none for texts with delta lengths or long dictionaries, nor for the codecs LZ4 and LZO".into())
        })?;
        let bytes: u64 = chunks.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        if bytes > GROUP_BYTES_MAX {
            return Err(failed(format!("it has {bytes} bytes: at most {GROUP_BYTES_MAX} are decoded so")));
        }
        self.sent += bytes;
        let child = Command::new(program)
            .arg(ARGUMENT)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let ranges = chunks.iter().map(|(start, bytes)| (*start, bytes.len() as u64)).collect();
        let request = Request { columns, group, footer, chunks: ranges };
        let request = postcard::to_stdvec(&request).map_err(|error| failed(error.to_string()))?;
        let ended = child.and_then(|child| answer(child, &request, chunks));
        self.taken += match ended {
            Ok(Ended::Decoded(taken)) => taken,
            Ok(Ended::Failed(detail)) => return Err(failed(detail)),
            Ok(Ended::Killed(detail)) => return Err(ReadError::NoChild { group, detail }),
            Err(error) => return Err(ReadError::NoChild { group, detail: error.to_string() }),
        };
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

/// How the process ended.
enum Ended {
    /// It decoded the row group in this processor time.
    Decoded(Duration),
    /// The bytes are at fault, for this reason.
    Failed(String),
    /// It was killed from outside, as where the machine has no memory left.
    Killed(String),
}

/// Sends the request and waits for the end of the process.
fn answer(mut child: Child, request: &[u8], chunks: &[(u64, Bytes)]) -> std::io::Result<Ended> {
    let send = |mut stdin: ChildStdin| {
        stdin.write_all(&(request.len() as u32).to_le_bytes())?;
        stdin.write_all(request)?;
        chunks.iter().try_for_each(|(_, bytes)| stdin.write_all(bytes))
    };
    // If the process dies before it has read everything, its status is the reason.
    let sent = child.stdin.take().map_or(Ok(()), send);
    let output = child.wait_with_output()?;
    if output.status.success() {
        let nanoseconds = output.stdout.first_chunk().map_or(0, |taken| u64::from_le_bytes(*taken));
        return sent.map(|()| Ended::Decoded(Duration::from_nanos(nanoseconds)));
    }
    // Its own limits end it by other signals.
    if output.status.signal() == Some(Signal::KILL.as_raw()) {
        return Ok(Ended::Killed(output.status.to_string()));
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    // The first line that is not about a panic's place and backtrace.
    let is_reason = |line: &&str| {
        !line.is_empty()
            && ["thread ", "note:", "stack backtrace"].iter().all(|start| !line.starts_with(start))
    };
    let reason = stderr.lines().map(str::trim).find(is_reason).unwrap_or("no reason");
    Ok(Ended::Failed(format!("{} ({reason})", output.status)))
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
    let _ = match &outcome {
        Ok(()) => {
            let taken = clock_gettime(ClockId::ProcessCPUTime);
            let nanoseconds = taken.tv_sec as u64 * 1_000_000_000 + taken.tv_nsec as u64;
            let mut stdout = std::io::stdout();
            stdout.write_all(&nanoseconds.to_le_bytes()).and_then(|()| stdout.flush())
        }
        Err(detail) => writeln!(std::io::stderr(), "{detail}"),
    };
    exit(i32::from(outcome.is_err()));
}

fn decode(input: &mut impl Read) -> Result<(), String> {
    let limit = |resource, current, maximum| {
        // Systems that have no such limit decode without it.
        let _ = setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) });
    };
    limit(Resource::As, MEMORY, MEMORY);
    limit(Resource::Core, 0, 0);
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
    let seconds = SECONDS + bytes / BYTES_PER_SECOND;
    // At the first limit SIGXCPU ends it, and only at the second one SIGKILL, which others send, too.
    limit(Resource::Cpu, seconds, seconds + 1);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_killed_or_not_started_is_no_fault_of_the_file() {
        let chunks = vec![(0, Bytes::from_static(b"chunk"))];
        let mut unchecked = Unchecked { chunks, is_needed: true, ..Unchecked::default() };
        let missing =
            unchecked.decode_by(Some(&"/no/program".into()), b"footer", Columns::Trips).unwrap_err();
        assert!(
            matches!(missing, ReadError::NoChild { group: 0, .. }) && missing.is_transient(),
            "{missing}"
        );
        let unknown = unchecked.decode_by(None, b"footer", Columns::Trips).unwrap_err();
        assert!(matches!(unknown, ReadError::Child { .. }) && !unknown.is_transient(), "{unknown}");

        let ended = |script: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            answer(shell.spawn().unwrap(), b"request", &[(0, Bytes::from_static(b"chunk"))]).unwrap()
        };
        assert!(matches!(ended("kill -KILL $$"), Ended::Killed(detail) if detail.contains('9')));
        // The limits of its memory and time end it by ABRT and XCPU.
        for signal in ["ABRT", "XCPU"] {
            assert!(matches!(ended(&format!("kill -{signal} $$")), Ended::Failed(_)), "{signal}");
        }
        let failed = "cat > /dev/null; echo 'thread main panicked' >&2; echo 'no such page' >&2; exit 1";
        assert!(matches!(ended(failed), Ended::Failed(detail) if detail.contains("(no such page)")));
        let decoded = r"cat > /dev/null; printf '\001\001\0\0\0\0\0\0'";
        assert!(matches!(ended(decoded), Ended::Decoded(taken) if taken == Duration::from_nanos(257)));
    }
}
