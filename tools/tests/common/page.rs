//! Pages whose commands are run as printed.
#![allow(dead_code)]

/// What a block is for.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// Commands to run.
    Commands,
    /// Pieces of lines that the commands before it print, in this order.
    Expected,
}

/// The blocks of `page` that are marked: commands by `mark`, what they print by
/// "expected".
pub fn blocks(page: &str, mark: &str) -> Vec<(Kind, String)> {
    let commands = format!("```sh {mark}");
    let mut found: Vec<(Kind, String)> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == commands || line == "```text expected";
            let kind = if line == commands {
                Kind::Commands
            } else {
                Kind::Expected
            };
            if inside {
                found.push((kind, String::new()));
            }
        } else if let Some((_, text)) = found.last_mut().filter(|_| inside) {
            *text += line;
            text.push('\n');
        }
    }
    found
}

/// Runs the page's commands by `run`, which returns what they printed, and
/// compares. Returns the number of blocks that ran and of lines compared.
pub fn follow(page: &str, mark: &str, run: &mut dyn FnMut(&str) -> String) -> (usize, usize) {
    let (mut said, mut runs, mut compared) = (String::new(), 0, 0);
    for (kind, text) in blocks(page, mark) {
        if kind == Kind::Commands {
            said = run(&text);
            runs += 1;
            continue;
        }
        let mut lines = said.lines();
        for piece in text.lines() {
            assert!(lines.any(|l| l.contains(piece)), "no '{piece}' in:\n{said}");
            compared += 1;
        }
    }
    (runs, compared)
}
