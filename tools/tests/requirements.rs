//! docs/requirements.md names tests that exist, for every requirement.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Everything below `directory` that belongs to the project.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(directory).unwrap().flatten() {
        let (path, name) = (path.path(), path.file_name());
        let foreign = ["target", ".git", ".cache"].iter().any(|own| name == *own);
        if path.is_dir() && !foreign {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// What a name in the table may stand for.
struct Project {
    paths: Vec<String>,
    functions: BTreeSet<String>,
    cases: Vec<String>,
}

impl Project {
    fn read() -> Self {
        let mut found = Vec::new();
        files(&root(), &mut found);
        let mut functions = BTreeSet::new();
        let mut cases = Vec::new();
        for path in found
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "rs"))
        {
            let text = std::fs::read_to_string(path).unwrap();
            let named = text
                .split("fn ")
                .skip(1)
                .filter_map(|rest| rest.split(['(', '<']).next());
            functions.extend(named.map(str::to_string));
            if path.components().any(|c| c.as_os_str() == "guests") {
                let quoted = text.split('"').skip(1).step_by(2);
                cases.extend(quoted.map(str::to_string));
            }
        }
        let paths = found.iter().map(|p| format!("{}/", p.display())).collect();
        Self {
            paths,
            functions,
            cases,
        }
    }

    fn has(&self, name: &str) -> bool {
        let start = name.trim_end_matches(['*', '…']);
        if start != name {
            return self.cases.iter().any(|case| case.starts_with(start));
        }
        let place = format!("/{name}/");
        self.functions.contains(name) || self.paths.iter().any(|path| path.contains(&place))
    }
}

/// Requirement and what its row says to show it, from the page's tables of four
/// columns.
fn rows(page: &str) -> Vec<(String, String)> {
    let cells = |line: &str| -> Option<(String, String)> {
        let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").collect();
        let [id, _, place, _] = cells[..] else {
            return None;
        };
        let shown = place.split_once(" · ").map_or("", |(_, shown)| shown);
        let is_id = id.len() >= 2 && id[1..].chars().all(|c| c.is_ascii_digit());
        is_id.then(|| (id.to_string(), shown.to_string()))
    };
    page.lines()
        .filter_map(cells)
        .filter(|row| !row.0.starts_with('H'))
        .collect()
}

#[test]
fn every_requirement_names_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("docs/requirements.md")).unwrap();
    let (project, rows) = (Project::read(), rows(&page));
    assert!(rows.len() >= 40, "{} rows", rows.len());
    for (id, shown) in rows {
        assert!(
            id.starts_with('G') || !shown.is_empty(),
            "{id}: nothing shows it"
        );
        for name in shown.split('`').skip(1).step_by(2) {
            assert!(project.has(name), "{id}: there is no {name}");
        }
    }
}
