//! `README.md` and the command line: what a newcomer is shown is what the program prints and takes.

use std::collections::BTreeSet;

use super::support::{Config, Home, Process, listening};
use super::{blocks, page, root};

/// Every page for readers, from the root of the repository.
const PAGES: [&str; 8] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/configuration.md",
    "docs/cut-over.md",
    "docs/django.md",
    "docs/security.md",
];

/// A link of one of our pages to another must lead there.
#[test]
fn links_lead_to_files_that_are_there() {
    let mut seen = 0;
    for path in PAGES {
        let text = page(path);
        let folder = root(path).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !target.contains("://") && !target.starts_with('#') {
                let file = target.split('#').next().unwrap();
                assert!(folder.join(file).exists(), "{path} links to {target}");
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "{seen}");
}

/// The repository's own file, with ports that the system chooses.
fn own_file() -> Home {
    let text = page("gateway.yaml");
    let free = text.replace("127.0.0.1:8443", "127.0.0.1:0").replace("127.0.0.1:9900", "127.0.0.1:0");
    assert_eq!(free.matches("127.0.0.1:0\n").count(), 2, "{free}");
    Config::text(&free).write()
}

#[tokio::test]
async fn the_readme_shows_what_the_start_prints() {
    let home = own_file();
    let process = Process::start("tollgate", &mut home.command(["run"]), "TERM");
    // The commands, of which the metrics are the last, come after all else.
    let is_last = |line: &String| line.starts_with("curl") && line.ends_with("/metrics");
    let printed = process
        .find("the last command", |lines| lines.iter().any(is_last).then(|| lines.to_vec()))
        .await
        .expect("the gateway starts");
    let ports: Vec<u16> = printed.iter().filter_map(|line| Some(listening(line)?.address.port())).collect();
    let [https, admin] = ports[..] else { panic!("{printed:#?}") };
    let printed: Vec<String> = printed
        .iter()
        .map(|line| line.replace(&format!(":{https}"), ":8443").replace(&format!(":{admin}"), ":9900"))
        .collect();
    let readme = blocks(&page("README.md"));
    let shown = readme.iter().find(|block| block.text.starts_with("tollgate ")).expect("the start's block");
    let shown: Vec<&str> = shown.text.lines().collect();
    assert!(shown.last().is_some_and(|line| line.ends_with("/metrics")), "the whole of it");
    let begin = printed.iter().position(|line| *line == shown[0]).unwrap_or_else(|| panic!("{printed:#?}"));
    assert_eq!(printed[begin..begin + shown.len()], shown);
}

/// Every command that a page shows, with its options.
#[test]
fn every_command_that_a_page_shows_is_there() {
    let home = own_file();
    let mut seen = BTreeSet::new();
    for path in PAGES {
        let text = page(path);
        let inline = text.split('`').skip(1).step_by(2).map(str::to_owned);
        let lines = blocks(&text).into_iter().flat_map(|block| {
            let lines = block.text.lines().map(|line| line.trim_start_matches("$ ").to_owned());
            lines.collect::<Vec<_>>()
        });
        for command in inline.chain(lines) {
            let command = command.split(" #").next().unwrap();
            let Some(rest) = command.strip_prefix("tollgate ") else { continue };
            let words: Vec<&str> = rest.split_whitespace().collect();
            let Some(depth) = depth(words[0]) else { continue };
            let name = &words[..depth.min(words.len())];
            let output = home.run(&[name, &["--help"]].concat(), "");
            let help = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{path}: {command}");
            for option in words.iter().filter(|word| word.starts_with("--")) {
                assert!(help.contains(option), "{path}: {command}: no {option}");
            }
            seen.insert(name.join(" "));
        }
    }
    let all = ["check", "import simplejwt", "key generate", "token inspect", "token mint", "user add"];
    assert!(all.iter().all(|name| seen.contains(*name)), "{seen:?}");
}

/// How many words name the command that begins with this one; `None` for the banner's version.
fn depth(first: &str) -> Option<usize> {
    match first {
        "run" | "check" => Some(1),
        "user" | "token" | "key" | "import" => Some(2),
        _ if first.starts_with(|c: char| c.is_ascii_digit()) => None,
        _ => panic!("no command {first}"),
    }
}
