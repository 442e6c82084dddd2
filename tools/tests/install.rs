//! `make install` puts everything where it belongs, and only there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn script(arguments: &[&str], at: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh");
    let output = Command::new("bash")
        .arg(script)
        .args(arguments)
        .env("DESTDIR", at)
        .env("PREFIX", "/opt/gate")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn files(directory: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => files(&path, found),
            path => drop(found.insert(path)),
        }
    }
}

#[test]
fn the_program_is_installed_whole_and_leaves_nothing_behind() {
    let at = std::env::temp_dir().join(format!("stagegate-install-{}", std::process::id()));
    std::fs::create_dir_all(&at).unwrap();
    let program = env!("CARGO_BIN_EXE_stagegate");
    let said = script(&[program], &at);
    let mut there = BTreeSet::new();
    files(&at, &mut there);
    let told: BTreeSet<_> = said.lines().map(PathBuf::from).collect();
    assert_eq!(there, told, "it names each file that it writes");
    let prefix = at.join("opt/gate");
    for file in [
        "share/man/man1/stagegate.1",
        "share/man/man1/stagegate-check.1",
        "share/bash-completion/completions/stagegate",
        "share/zsh/site-functions/_stagegate",
        "share/fish/vendor_completions.d/stagegate.fish",
    ] {
        let text = std::fs::read_to_string(prefix.join(file)).unwrap();
        assert!(text.contains("stagegate"), "{file}");
        let place = at.to_str().unwrap();
        assert!(!text.contains(place), "{file} names the package's place");
    }
    let installed = Command::new(prefix.join("bin/stagegate"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(installed.status.success());
    script(&["--remove", program], &at);
    let mut left = BTreeSet::new();
    files(&at, &mut left);
    assert!(left.is_empty(), "{left:?}");
    std::fs::remove_dir_all(&at).unwrap();
}
