//! A new function is its folder and its resources in both deployments, and nothing else: the contracts, the tests of
//! deployments and the dashboards accept a copy of the smallest one in a scratch copy of this project.

use std::path::Path;
use std::process::Command;

use tests::functions::functions;
use tests::root;

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Replaces the name of one function by another: in names of resources, and where it stands alone.
fn renamed(text: &str, from: &str, to: &str) -> String {
    let camel = |name: &str| -> String { name[..1].to_uppercase() + &name[1..] };
    let mut text = text.to_string();
    for part in ["Function", "Role", "LogGroup", "ErrorsAlarm", "ThrottlesAlarm", "DurationAlarm"] {
        text = text.replace(&format!("{}{part}", camel(from)), &format!("{}{part}", camel(to)));
    }
    for part in ["function", "role", "log_group", "errors_alarm", "throttles_alarm", "duration_alarm"] {
        text = text.replace(&format!("{from}_{part}"), &format!("{to}_{part}"));
    }
    let named = [("-", ""), ("/", "/"), ("Binary: ", ""), ("name = \"", "\""), ("name  = \"", "\"")];
    for (before, after) in named {
        text = text.replace(&format!("{before}{from}{after}"), &format!("{before}{to}{after}"));
    }
    text
}

/// Returns the blocks of a text that belong to a function; `is_head` and `is_its` test the first line of a block.
fn blocks(text: &str, is_head: impl Fn(&str) -> bool, is_its: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut starts: Vec<usize> = text
        .match_indices('\n')
        .map(|(at, _)| at + 1)
        .filter(|&at| is_head(text[at..].lines().next().unwrap_or_default()))
        .collect();
    starts.push(text.len());
    let block = starts.windows(2).map(|pair| &text[pair[0]..pair[1]]);
    block.filter(|block| is_its(block.lines().next().unwrap())).collect()
}

/// Adds copies of the resources of `from`, renamed to `to`, to both deployments.
fn deploy(project: &Path, from: &str, to: &str) {
    let path = project.join("template.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once("\nResources:\n").unwrap();
    let (resources, outputs) = rest.split_once("\nOutputs:\n").unwrap();
    let capital = from[..1].to_uppercase() + &from[1..];
    let is_head = |line: &str| line.starts_with("  ") && line[2..].starts_with(|c: char| c.is_uppercase());
    let its = blocks(resources, is_head, |line| line.starts_with(&format!("  {capital}")));
    assert_eq!(its.len(), 6, "function, role, log group and three alarms of {from}");
    let copied: String = its.iter().map(|block| renamed(block, from, to)).collect();
    let shown = format!("{from}: !Ref {capital}Function");
    assert!(resources.contains(&shown), "the dashboard names {from}");
    let resources = resources.replace(&shown, &format!("{shown}\n          {}", renamed(&shown, from, to)));
    let resources =
        resources.replace(&format!("          {from}: !Ref Probe"), "          probe: !Ref Probe");
    write(&path, &format!("{head}\nResources:\n{resources}\n{copied}\nOutputs:\n{outputs}"));

    let folder = project.join("infra/terraform");
    let mut copied = String::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "tf") {
            continue;
        }
        let text = format!("\n{}", std::fs::read_to_string(&path).unwrap());
        let is_head = |line: &str| line.starts_with(|c: char| c.is_lowercase());
        let label = format!(" \"{from}_");
        let is_its = |line: &str| {
            !line.starts_with("output") && !line.starts_with("variable") && line.contains(&label)
        };
        copied.extend(blocks(&text, is_head, is_its).iter().map(|block| renamed(block, from, to)));
    }
    write(&folder.join("probe.tf"), &copied);
    let path = folder.join("dashboard.tf");
    let text = std::fs::read_to_string(&path).unwrap();
    let line = format!("aws_lambda_function.{from}_function.function_name\n");
    write(&path, &text.replace(&line, &format!("{line}    {to} = {}", renamed(&line, from, to))));
}

/// Runs tests of this program on another project; returns what they print, and whether all pass.
fn tests_on(project: &Path, filters: &[&str], update: bool) -> (String, bool) {
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.args(filters).env("PROJECT_ROOT", project);
    if update {
        tests.env("UPDATE_DASHBOARDS", "1");
    }
    let output = tests.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!printed.contains("running 0 tests"), "{printed}");
    (printed, output.status.success())
}

fn pass_on(project: &Path, filters: &[&str], update: bool) {
    let (printed, pass) = tests_on(project, filters, update);
    assert!(pass, "{filters:?}: {printed}");
}

#[test]
fn a_new_function_needs_no_change_outside_of_its_folder_and_the_deployments() {
    let scratch = tempfile::tempdir().unwrap();
    let project = scratch.path();
    for name in git(&root(), &["ls-files"]).lines() {
        // A deleted file that is not yet committed is left out.
        if let Ok(bytes) = std::fs::read(root().join(name)) {
            std::fs::create_dir_all(project.join(name).parent().unwrap()).unwrap();
            std::fs::write(project.join(name), bytes).unwrap();
        }
    }
    git(project, &["init", "-q"]);
    let before: Vec<(String, Vec<u8>)> = git(&root(), &["ls-files"])
        .lines()
        .filter_map(|name| Some((name.to_string(), std::fs::read(project.join(name)).ok()?)))
        .collect();

    let size = |function: &String| {
        let folder = format!("functions/{function}/");
        before
            .iter()
            .filter(|(name, _)| name.starts_with(&folder))
            .map(|(_, bytes)| bytes.len())
            .sum::<usize>()
    };
    let names = functions().into_iter().map(|function| function.name);
    // A name of one word is the same in both deployments.
    let smallest = names.filter(|name| !name.contains('-')).min_by_key(size).unwrap();
    let (old, new) = (format!("functions/{smallest}/"), "functions/probe/");
    for (name, bytes) in before.iter().filter(|(name, _)| name.starts_with(&old)) {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let text = if name.ends_with("Cargo.toml") { renamed(&text, &smallest, "probe") } else { text };
        write(&project.join(name.replace(&old, new)), &text);
    }
    git(project, &["add", "-A"]);
    let (undeployed, pass) = tests_on(project, &["deployments::"], false);
    assert!(
        !pass && undeployed.contains("probe"),
        "the tests miss a function that is not deployed: {undeployed}"
    );
    deploy(project, &smallest, "probe");
    git(project, &["add", "-A"]);

    pass_on(project, &["dashboards_are_what"], true);
    pass_on(project, &["contracts::", "deployments::", "dashboards::"], false);
    for (name, bytes) in &before {
        let may_change = name == "template.yaml" || name.starts_with("infra/terraform/");
        assert!(may_change || std::fs::read(project.join(name)).unwrap() == *bytes, "{name} had to change");
    }
}
