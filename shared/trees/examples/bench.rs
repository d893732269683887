//! Times one run of training or scoring, for comparisons with other libraries. It reads raw little-endian f32 files
//! and prints one JSON document. `make bench-peers` runs it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use linfa::ParamGuard;
use rustix::time::{ClockId, clock_gettime};
use trees::boost::{BoostParams, Labelled, Objective, Settings, go_on};
use trees::import::Body;
use trees::{Kernel, Scorer};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let mut options = HashMap::new();
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        options.insert(name.trim_start_matches("--").to_string(), value);
    }
    let options = Options(options);
    let answer = match verb.as_str() {
        "train" => train(&options)?,
        "score" => score(&options)?,
        "single" => single(&options)?,
        _ => return Err("expected a verb: train, score or single".into()),
    };
    #[allow(clippy::print_stdout)]
    {
        println!("{answer}");
    }
    Ok(())
}

struct Options(HashMap<String, String>);

impl Options {
    fn text(&self, name: &str) -> Result<&str, Failure> {
        Ok(self.0.get(name).ok_or_else(|| format!("expected --{name}"))?)
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, Failure> {
        match self.0.get(name) {
            Some(text) => text.parse().map_err(|_| format!("--{name} {text}: expected a number").into()),
            None => Ok(default),
        }
    }
}

fn floats(path: impl AsRef<Path>) -> Result<Vec<f32>, Failure> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn train(options: &Options) -> Result<String, Failure> {
    let (values, labels) = (floats(options.text("x")?)?, floats(options.text("y")?)?);
    let n_features = options.number("features", 10)?;
    let objective = match options.text("objective")? {
        "squared" => Objective::Squared,
        "logistic" => Objective::Logistic,
        other => return Err(format!("--objective {other}: expected squared or logistic").into()),
    };
    let params = BoostParams::new(Settings {
        objective,
        rounds: options.number("rounds", 100)?,
        max_leaves: options.number("leaves", 31)?,
        learning_rate: options.number("learning-rate", 0.1)?,
        node_feature_fraction: options.number("node-features", 1.0)?,
        seed: options.number("seed", 1)?,
        ..Settings::default()
    })
    .check()?;
    let rows = Labelled { values: &values, n_features, labels: &labels, weights: None };
    // Resets the peak memory that loading reached, where the kernel permits it.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = peak_mb();
    let (cpu, wall) = (cpu_s(), Instant::now());
    let fitted = params.fit(&rows, None, options.number("threads", 1)?, &mut go_on)?;
    let (cpu, wall) = (cpu_s() - cpu, wall.elapsed().as_secs_f64());
    let peak = peak_mb();
    let (test_values, test_labels) = (floats(options.text("test-x")?)?, floats(options.text("test-y")?)?);
    let error = objective.loss(&fitted.ensemble.predict(&test_values), &test_labels, None);
    Ok(format!(
        r#"{{"cpu_s":{cpu:.4},"wall_s":{wall:.4},"rss_before_mb":{before:.1},"rss_peak_mb":{peak:.1},"error":{error:.6},"trees":{},"leaves":{}}}"#,
        fitted.ensemble.n_trees(),
        fitted.ensemble.n_leaves(),
    ))
}

/// Times batch scoring of a LightGBM model: CPU seconds of the median pass over all rows.
fn score(options: &Options) -> Result<String, Failure> {
    let kernel = match options.text("kernel")? {
        "auto" => Kernel::Auto,
        "avx2" => Kernel::Avx2,
        "portable" => Kernel::Portable,
        "walk" => Kernel::Walk,
        other => return Err(format!("--kernel {other}: expected auto, avx2, portable or walk").into()),
    };
    let (scorer, load_ms) = scorer(options)?;
    let values = floats(options.text("x")?)?;
    let mut passes = Vec::new();
    let mut scores = Vec::new();
    for _ in 0..options.number("repeats", 1)? {
        let cpu = cpu_s();
        scores = scorer.predict_by(kernel, &values);
        passes.push(cpu_s() - cpu);
    }
    passes.sort_by(f64::total_cmp);
    if let Ok(file) = options.text("out") {
        std::fs::write(file, scores.iter().flat_map(|score| score.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    let (cpu, rows) = (passes[passes.len() / 2], scores.len());
    Ok(format!(r#"{{"cpu_s":{cpu:.6},"rows":{rows},"load_ms":{load_ms:.3}}}"#))
}

/// Times scoring row by row, from features to score, in nanoseconds of CPU time for each row.
fn single(options: &Options) -> Result<String, Failure> {
    let (scorer, _) = scorer(options)?;
    let values = floats(options.text("x")?)?;
    let width = scorer.ensemble().n_features();
    let n_rows = values.len() / width;
    let passes = 1 + 400_000 / n_rows.max(1);
    let mut sum = 0.0;
    let cpu = cpu_s();
    for _ in 0..passes {
        sum += values.chunks_exact(width).map(|row| scorer.predict_row(row)).sum::<f64>();
    }
    let ns = (cpu_s() - cpu) * 1e9 / (passes * n_rows) as f64;
    Ok(format!(r#"{{"ns_per_row":{ns:.1},"mean":{:.6}}}"#, sum / (passes * n_rows) as f64))
}

/// Returns the scorer of a LightGBM model, and the milliseconds from its serialized ensemble to complete tables.
fn scorer(options: &Options) -> Result<(Scorer, f64), Failure> {
    let foreign = trees::import::lightgbm::read(&std::fs::read_to_string(options.text("model")?)?)?;
    let Body::Trees(ensemble) = foreign.body else { return Err("no trees".into()) };
    let bytes = postcard::to_stdvec(&ensemble)?;
    let start = Instant::now();
    let scorer = Scorer::new(postcard::from_bytes(&bytes)?);
    Ok((scorer, start.elapsed().as_secs_f64() * 1e3))
}

/// Returns the CPU seconds that all threads of this process have used.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Returns the peak resident memory of this process in MiB; 0 if the system does not report it.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
