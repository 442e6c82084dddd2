//! The texts of a Rust source, and what stands before each.

/// A string of a source.
pub struct Text {
    /// The statement that it is part of, up to it, without line ends.
    pub before: String,
    /// As it is printed: lines that go on are joined.
    pub text: String,
}

/// Every string in `source`, up to its tests.
pub fn texts(source: &str) -> Vec<Text> {
    let mut rest = without_tests(source);
    let (mut found, mut statement) = (Vec::new(), String::new());
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        if rest.starts_with("//") {
            taken = rest.find('\n').unwrap_or(rest.len());
        } else if let Some((text, length)) = string(rest) {
            let before = statement.split_whitespace().collect::<Vec<_>>().join(" ");
            found.push(Text { before, text });
            statement += "\"\"";
            taken = length;
        } else if let Some(length) = character(rest) {
            taken = length;
        } else if matches!(c, ';' | '{' | '}') {
            statement.clear();
        } else {
            statement.push(c);
        }
        rest = &rest[taken..];
    }
    found
}

/// The source up to a module in it that only tests have.
fn without_tests(source: &str) -> &str {
    let module = |at: &usize| {
        let line = source[*at..].lines().nth(1).unwrap_or_default();
        line.contains("mod ") && line.ends_with('{')
    };
    let mut marks = source.match_indices("#[cfg(test)]\n").map(|(at, _)| at);
    marks.find(module).map_or(source, |at| &source[..at])
}

/// The string at the start of `rest`, and how much source it takes.
fn string(rest: &str) -> Option<(String, usize)> {
    if let Some(raw) = rest.strip_prefix("r#\"") {
        let end = raw.find("\"#")?;
        return Some((raw[..end].into(), end + 5));
    }
    let inside = rest.strip_prefix('"')?;
    let mut escaped = false;
    let end = inside.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let mut lines = inside[..end].split("\\\n");
    let first = lines.next().unwrap_or_default().to_string();
    let text = lines.fold(first, |text, line| text + line.trim_start());
    Some((text, end + 2))
}

/// How much source the character at the start of `rest` takes: `'"'` begins no string.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let first = inside.chars().next()?.len_utf8();
    let at = if inside.starts_with('\\') { 2 } else { first };
    let end = inside.get(at..)?.find('\'')?;
    (end == 0 || inside.starts_with("\\u") || inside.starts_with("\\x")).then_some(at + end + 2)
}

#[test]
fn strings_are_told_from_comments_characters_and_lifetimes() {
    let source = "// \"no\"\nlet a: &'a str = f('\"', \"one \\\n   \\\"two\\\"\");\n\
                  log::warn!(\n  \"three\");\n#[cfg(test)]\nmod tests {\n\"four\" }";
    let found = texts(source);
    let seen: Vec<_> = found.iter().map(|t| (&*t.before, &*t.text)).collect();
    let first = ("let a: &'a str = f(,", "one \\\"two\\\"");
    assert_eq!(seen, [first, ("log::warn!(", "three")]);
}
