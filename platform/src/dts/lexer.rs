//! Text to tokens.
use super::DtsError;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A token and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) kind: Kind,
}

/// Kinds of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Names and numbers; what a word means depends on where it stands.
    Word(String),
    /// `/dts-v1/`, `/plugin/`, …
    Directive(String),
    /// `&label`.
    Label(String),
    /// `&{/path}`.
    Path(String),
    Text(Vec<u8>),
    Mark(char),
}

pub(super) fn tokens(source: &str) -> Result<Vec<Token>, DtsError> {
    let mut lexer = Lexer {
        rest: source,
        line: 1,
    };
    let mut list = Vec::new();
    while let Some(token) = lexer.token()? {
        list.push(token);
    }
    Ok(list)
}

struct Lexer<'s> {
    rest: &'s str,
    line: usize,
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || ",._+*#?@-".contains(c)
}

impl<'s> Lexer<'s> {
    fn error(&self, what: impl Into<String>) -> DtsError {
        DtsError {
            line: self.line,
            what: what.into(),
        }
    }

    /// Takes `bytes` bytes off the front.
    fn take(&mut self, bytes: usize) -> &'s str {
        let (front, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line = self.line.saturating_add(front.matches('\n').count());
        self.rest = rest;
        front
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'s str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// Takes up to and including `end`.
    fn take_until(&mut self, end: &str, what: &str) -> Result<&'s str, DtsError> {
        let at = self
            .rest
            .find(end)
            .ok_or_else(|| self.error(format!("{what} has no end")))?;
        let front = self.take(at);
        self.take(end.len());
        Ok(front)
    }

    fn skip_blank(&mut self) -> Result<(), DtsError> {
        loop {
            self.take_while(char::is_whitespace);
            if self.rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if self.rest.starts_with("/*") {
                self.take_until("*/", "the comment")?;
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Option<Token>, DtsError> {
        self.skip_blank()?;
        let line = self.line;
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        let kind = match first {
            '"' => Kind::Text(self.text()?),
            '&' => self.reference()?,
            '/' => self.slash(),
            '\'' => self.character()?,
            c if is_name(c) && c != ',' => Kind::Word(self.take_while(is_name).into()),
            c if "{}<>[]()=;:,".contains(c) => {
                self.take(1);
                Kind::Mark(c)
            }
            c => return Err(self.error(format!("unexpected {c:?}"))),
        };
        Ok(Some(Token { line, kind }))
    }

    /// A directive, or the root's slash.
    fn slash(&mut self) -> Kind {
        let body = self.rest.strip_prefix('/').unwrap_or("");
        let end = body
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .unwrap_or(0);
        if end > 0 && body.get(end..).is_some_and(|r| r.starts_with('/')) {
            let word = body.get(..end).unwrap_or("").into();
            self.take(end.saturating_add(2));
            return Kind::Directive(word);
        }
        self.take(1);
        Kind::Mark('/')
    }

    fn reference(&mut self) -> Result<Kind, DtsError> {
        self.take(1);
        if self.rest.starts_with('{') {
            self.take(1);
            return Ok(Kind::Path(self.take_until("}", "the path")?.into()));
        }
        match self.take_while(|c| c.is_ascii_alphanumeric() || c == '_') {
            "" => Err(self.error("& needs a label or {/path}")),
            label => Ok(Kind::Label(label.into())),
        }
    }

    /// A quoted text with C's escapes.
    fn text(&mut self) -> Result<Vec<u8>, DtsError> {
        self.take(1);
        let mut bytes = Vec::new();
        loop {
            bytes.extend_from_slice(self.take_while(|c| c != '"' && c != '\\').as_bytes());
            match self.take(1) {
                "\"" => return Ok(bytes),
                "\\" => bytes.push(self.escape()?),
                _ => return Err(self.error("the text has no end")),
            }
        }
    }

    fn character(&mut self) -> Result<Kind, DtsError> {
        self.take(1);
        let value = match self.take(1) {
            "\\" => self.escape()?,
            c => c.bytes().next().unwrap_or(0),
        };
        match self.take(1) {
            "'" => Ok(Kind::Word(format!("{value}"))),
            _ => Err(self.error("the character has no end")),
        }
    }

    fn escape(&mut self) -> Result<u8, DtsError> {
        Ok(match self.take(1) {
            "n" => b'\n',
            "t" => b'\t',
            "r" => b'\r',
            "0" => 0,
            "\\" => b'\\',
            "\"" => b'"',
            "'" => b'\'',
            "x" => {
                let digits = self.take(2);
                let value = u8::from_str_radix(digits, 16);
                value.map_err(|_| self.error("\\x needs two hexadecimal digits"))?
            }
            other => return Err(self.error(format!("unknown escape \\{other}"))),
        })
    }
}
