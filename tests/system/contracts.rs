//! Rules that hold across files: dependencies of crates, size of files, one list of variables.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand};
use platform::telemetry::OUR_CRATES;
use tests::functions::functions;
use tests::root;

/// Returns the members of the workspace with the members they depend on, outside of tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    let names: BTreeSet<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let known = |package: &cargo_metadata::Package| {
        let used = package.dependencies.iter().filter(|used| used.kind == DependencyKind::Normal);
        let ours = used.map(|used| used.name.clone()).filter(|name| names.contains(name)).collect();
        (package.name.to_string(), ours)
    };
    metadata.packages.iter().map(known).collect()
}

#[test]
fn everybody_knows_only_whom_they_may() {
    let may: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("trees", &[][..]),
        ("model", &["trees"]),
        ("dataset", &["model"]),
        ("monitoring", &["model"]),
        ("report", &[]),
        ("store", &["model"]),
        ("registry", &["store", "monitoring", "model"]),
        ("mlflow", &["model"]),
        ("platform", &["model"]),
        ("operations", &["platform", "model"]),
    ]);
    // Functions that serve, or must start fast, do without these; and all do without what operators do.
    let without: [(&str, &[&str]); 2] =
        [("scorer", &["dataset", "mlflow", "report"]), ("batch-predictor", &["mlflow", "report"])];
    let of_no_function = "operations";
    let functions: Vec<String> = functions().into_iter().map(|function| function.name).collect();
    let free = ["tripcast", "tests"];
    for (package, known) in dependencies() {
        if free.contains(&package.as_str()) {
            continue;
        }
        let is_function = functions.contains(&package);
        let barred = without.iter().find(|(name, _)| *name == package).map_or(&[][..], |(_, barred)| barred);
        for name in known {
            let is_allowed = match may.get(package.as_str()) {
                Some(allowed) => allowed.contains(&name.as_str()),
                // A function may depend on every shared crate, and on no other function.
                None => {
                    is_function
                        && may.contains_key(name.as_str())
                        && name != of_no_function
                        && !barred.contains(&name.as_str())
                }
            };
            assert!(is_allowed, "{package} must not know {name}");
        }
    }
}

/// Only the named members may depend on these crates.
#[test]
fn foreign_types_stop_where_they_should() {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    let stops: [(&str, &[&str]); 7] = [
        ("parquet", &["dataset", "tests"]),
        ("arrow-", &["dataset", "tests"]),
        ("aws-sdk-", &["store", "platform", "operations", "tests"]),
        ("aws-config", &["store", "platform", "operations", "tests"]),
        // The scorer and the batch predictor use no HTTP client but the SDK's.
        ("reqwest", &["mlflow", "tripcast", "tests"]),
        ("linfa", &["trees", "model", "monitoring"]),
        ("tokio", &["store", "registry", "mlflow", "platform", "operations", "tripcast", "tests"]),
    ];
    let functions = functions();
    for package in &metadata.packages {
        for used in package.dependencies.iter().filter(|used| used.kind == DependencyKind::Normal) {
            for (prefix, allowed) in stops {
                let is_allowed = allowed.contains(&package.name.as_str())
                    || prefix == "tokio" && functions.iter().any(|function| function.name == *package.name);
                let stopped = used.name.starts_with(prefix) && !is_allowed;
                assert!(!stopped, "{} must not depend on {}: only {allowed:?} may", package.name, used.name);
            }
        }
    }
}

/// Returns the tracked text files whose names match.
fn tracked(pattern: &str) -> Vec<(PathBuf, String)> {
    let output = Command::new("git").args(["ls-files", pattern]).current_dir(root()).output().unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    let text = |name: &str| Some((name.into(), std::fs::read_to_string(root().join(name)).ok()?));
    names.lines().filter_map(text).collect()
}

/// A function that logs at DEBUG logs what these crates write.
#[test]
fn what_is_logged_for_debugging_is_every_crate_of_functions() {
    let shared = std::fs::read_dir(root().join("shared")).unwrap();
    let mut crates: BTreeSet<String> =
        shared.map(|entry| entry.unwrap().file_name().into_string().unwrap().replace('-', "_")).collect();
    assert!(crates.remove("operations"), "no function has it");
    assert_eq!(crates, OUR_CRATES.iter().map(|name| name.to_string()).collect());
}

/// A test is renamed in its invariant, too.
#[test]
fn invariants_name_tests_that_are_there() {
    let text = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let (_, invariants) = text.split_once("## Invariants").unwrap();
    let code: String = rust_files().into_iter().map(|(_, text)| text).collect();
    let named: Vec<&str> =
        invariants.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
    assert!(named.len() > 25, "{named:?}");
    for path in named.into_iter().filter(|path| !path.starts_with("std::")) {
        let name = path.rsplit("::").next().unwrap();
        let is_there = ["fn", "mod", "struct"].iter().any(|kind| code.contains(&format!("{kind} {name}")));
        assert!(is_there, "docs/ARCHITECTURE.md names {path}");
    }
}

fn rust_files() -> Vec<(PathBuf, String)> {
    tracked("*.rs")
}

/// A clone is enough by itself: only `.ci/run` looks beside the checkout, for trips to pass on in `TRIPS_DIR`.
#[test]
fn nothing_knows_of_a_folder_beside_the_checkout() {
    for (path, text) in tracked("*") {
        let beside = [concat!("../", "shared"), concat!("parent / ", "\"shared\"")]
            .iter()
            .find(|words| text.contains(**words));
        assert!(beside.is_none() || path == Path::new(".ci/run"), "{}: {beside:?}", path.display());
    }
}

#[test]
fn rooms_stay_small() {
    for (path, text) in rust_files() {
        let limit = if path.ends_with("main.rs") && path.starts_with("functions") { 60 } else { 400 };
        let lines = text.lines().count();
        assert!(lines <= limit, "{}: {lines} lines, at most {limit}", path.display());
    }
}

/// Each test asserts, by itself or through a function of its file with such a name.
#[test]
fn every_test_can_fail() {
    let proofs = ["assert", "check", "near(", "holds(", "unwrap_err"];
    for (path, text) in rust_files() {
        // Split, so that this file does not match itself.
        let marked = text.replace(concat!("#[tokio::", "test"), concat!("#[", "test"));
        for test in marked.split(concat!("#[", "test")).skip(1) {
            let name = test.split_once("fn ").map_or("", |(_, rest)| rest.split('(').next().unwrap());
            assert!(
                proofs.iter().any(|proof| test.contains(proof)),
                "{}: {name} asserts nothing",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_is_left_to_do() {
    // Split, so that this file does not match itself.
    let banned =
        [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("#[ig", "nore"), concat!("FIX", "ME")];
    for (path, text) in rust_files() {
        for word in banned {
            assert!(!text.contains(word), "{}: {word}", path.display());
        }
    }
}

#[test]
fn a_crate_opens_with_what_it_is() {
    for (path, text) in rust_files() {
        if path.ends_with("lib.rs") || path.ends_with("main.rs") {
            assert!(text.starts_with("//! "), "{}: expected it to open with what it is", path.display());
        }
    }
}

/// The README of each function lists its variables.
#[test]
fn the_readme_of_a_function_lists_its_variables() {
    let overview = std::fs::read_to_string(root().join("README.md")).unwrap();
    let mut n_shown = 0;
    for function in functions() {
        let path = root().join("functions").join(&function.name).join("README.md");
        let readme = std::fs::read_to_string(&path).unwrap_or_default();
        for variable in &function.variables {
            let default =
                variable.default.as_ref().map_or("must be set".into(), |default| format!("`{default}`"));
            let row = format!("| `{}` | {} | {default} |", variable.name, variable.meaning);
            assert!(readme.contains(&row), "{} lacks the row: {row}", path.display());
        }
        let rows = readme.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, function.variables.len(), "{}: a row for each variable", path.display());
        // The project's README names them too, for the functions that it shows.
        let shown = overview.lines().find(|line| line.starts_with(&format!("| [{}](", function.name)));
        let names: Vec<String> = function.variables.iter().map(|one| format!("`{}`", one.name)).collect();
        n_shown += usize::from(shown.is_some());
        assert!(shown.is_none_or(|row| row.ends_with(&format!("| {} |", names.join(", ")))), "{shown:?}");
    }
    assert!(n_shown >= 3, "README.md names the variables of {n_shown} functions");
}
