//! `tripcast data dvc`.

use std::io::Read;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};
use serde::Serialize;

use crate::files::{self, FileError};
use crate::output::{Failure, Output};

/// Write a pointer for DVC beside each file, so that git keeps the months that a model was learned from.
///
/// The files themselves are to be named in .gitignore, which `dvc add` would write too. FILE.dvc has the form that `dvc add` writes: `dvc data status` compares the file with it, and after `dvc commit`, `dvc push` keeps it.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  tripcast data dvc trips/green_tripdata_2021-*.parquet
  git add trips/*.dvc && dvc data status && dvc commit && dvc status")]
pub struct Args {
    /// Files to point to.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// A pointer that was written, or was there.
#[derive(Debug, Serialize)]
struct Pointer {
    pointer: PathBuf,
    md5: String,
    size: u64,
    written: bool,
}

/// Runs the verb.
pub fn run(args: &Args, out: &Output) -> Result<(), Failure> {
    // Before the first pointer is written.
    for file in &args.files {
        let name = file.display();
        if file.extension().is_some_and(|extension| extension == "dvc") {
            return Err(format!("{name}: expected a file of data, found a pointer").into());
        }
        if !file.is_file() {
            return Err(format!("{name}: expected a file; `dvc add` points to folders").into());
        }
    }
    let pointers = args.files.iter().map(|file| point_to(file)).collect::<Result<Vec<Pointer>, Failure>>()?;
    let line = |one: &Pointer| {
        let done = if one.written { "written" } else { "unchanged" };
        format!("{}: md5 {}, {} bytes, {done}", one.pointer.display(), one.md5, one.size)
    };
    out.print(&pointers, || pointers.iter().map(line).collect())
}

fn point_to(file: &Path) -> Result<Pointer, Failure> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| format!("{}: expected a file with a name in UTF-8", file.display()))?;
    let (md5, size) = digest(file)?;
    let pointer = file.with_file_name(format!("{name}.dvc"));
    let text = format!("outs:\n- md5: {md5}\n  size: {size}\n  hash: md5\n  path: {}\n", scalar(name));
    let present = match std::fs::read_to_string(&pointer) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(FileError::Io { doing: "reading", path: pointer, source }.into()),
    };
    let written = present.as_ref() != Some(&text);
    // Remarks, a remote or a cache policy that somebody entered are theirs.
    if let Some(present) = present.filter(|present| !is_plain(present)) {
        if present.lines().any(|line| line.trim_start_matches(['-', ' ']) == format!("md5: {md5}")) {
            return Ok(Pointer { pointer, md5, size, written: false });
        }
        let detail = "has more than a hash and a size, which would be lost: `dvc add` renews it";
        return Err(format!("{} {detail}", pointer.display()).into());
    }
    if written {
        files::write(&pointer, text.as_bytes())?;
    }
    Ok(Pointer { pointer, md5, size, written })
}

/// Returns whether a pointer has only what this writes.
fn is_plain(text: &str) -> bool {
    const KEYS: [&str; 5] = ["outs:", "- md5:", "  size:", "  hash:", "  path:"];
    let mut lines = text.lines();
    let is_plain = |line: &str, key| line.starts_with(key) && !line.contains(" #");
    KEYS.iter().all(|key| lines.next().is_some_and(|line| is_plain(line, key))) && lines.next().is_none()
}

/// Returns a name as YAML: in quotes if it has what may mean something there.
fn scalar(name: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let begins_with_letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
    match begins_with_letter && name.contains('.') && name.chars().all(is_safe) {
        true => name.into(),
        false => format!("'{}'", name.replace('\'', "''")),
    }
}

/// Returns the MD5 of a file, which is what DVC names content by, and its size.
fn digest(path: &Path) -> Result<(String, u64), FileError> {
    let failed = |source| FileError::Io { doing: "reading", path: path.into(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let (mut md5, mut size, mut buffer) = (Md5::new(), 0, vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            break;
        }
        md5.update(&buffer[..n]);
        size += n as u64;
    }
    Ok((md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_as_dvc_writes_it_and_what_others_entered_stays() {
        let folder = std::env::temp_dir().join(format!("tripcast-dvc-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("a.txt");
        std::fs::write(&file, "abc").unwrap();
        assert!(point_to(&file).unwrap().written);
        assert!(!point_to(&file).unwrap().written);
        let pointer = folder.join("a.txt.dvc");
        // Of RFC 1321: the MD5 of "abc".
        let expected =
            "outs:\n- md5: 900150983cd24fb0d6963f7d28e17f72\n  size: 3\n  hash: md5\n  path: a.txt\n";
        assert_eq!(std::fs::read_to_string(&pointer).unwrap(), expected);
        let remark = expected.replace("path: a.txt", "path: a.txt # of the fleet");
        assert!(is_plain(expected) && !is_plain(&remark));
        let noted = format!("{expected}meta:\n  owner: fleet\n");
        std::fs::write(&pointer, &noted).unwrap();
        assert!(!point_to(&file).unwrap().written);
        std::fs::write(&file, "abd").unwrap();
        assert!(point_to(&file).is_err());
        assert_eq!(std::fs::read_to_string(&pointer).unwrap(), noted);
        std::fs::write(&pointer, expected).unwrap();
        assert!(point_to(&file).unwrap().written);
        assert!(point_to(&folder.join("none")).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn names_that_mean_something_in_yaml_are_quoted() {
        assert_eq!(scalar("green_tripdata_2021-01.parquet"), "green_tripdata_2021-01.parquet");
        for (name, quoted) in
            [("a: b.txt", "'a: b.txt'"), ("it's.txt", "'it''s.txt'"), ("1.5", "'1.5'"), ("null", "'null'")]
        {
            assert_eq!(scalar(name), quoted);
        }
    }
}
