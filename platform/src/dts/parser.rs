//! Tokens to nodes.
use super::lexer::{Kind, Token};
use super::{Body, DtsError, Item, Piece, Property, Source, Target};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Deepest nesting, as for blobs.
const MAX_DEPTH: usize = crate::fdt::MAX_DEPTH;

pub(super) fn parse(tokens: &[Token]) -> Result<Source, DtsError> {
    let mut parser = Parser { tokens, at: 0 };
    let mut source = Source::default();
    while parser.peek().is_some() {
        parser.top(&mut source)?;
    }
    Ok(source)
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t Kind> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    fn line(&self) -> usize {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        token.map_or(1, |t| t.line)
    }

    fn next(&mut self) -> Option<&'t Kind> {
        let kind = self.peek();
        self.at = self.at.saturating_add(1);
        kind
    }

    fn error(&self, what: impl Into<String>) -> DtsError {
        DtsError {
            line: self.line(),
            what: what.into(),
        }
    }

    fn skip(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(&Kind::Mark(mark));
        if found {
            self.at = self.at.saturating_add(1);
        }
        found
    }

    fn expect(&mut self, mark: char) -> Result<(), DtsError> {
        if self.skip(mark) {
            Ok(())
        } else {
            Err(self.error(format!("{mark:?} is missing")))
        }
    }

    fn word(&mut self) -> Result<&'t str, DtsError> {
        match self.peek() {
            Some(Kind::Word(word)) => {
                self.at = self.at.saturating_add(1);
                Ok(word)
            }
            _ => Err(self.error("a name is missing")),
        }
    }

    fn top(&mut self, source: &mut Source) -> Result<(), DtsError> {
        let mut labels = self.labels();
        let line = self.line();
        let target = match self.next() {
            Some(Kind::Directive(word)) => return self.directive(word, source),
            Some(Kind::Mark('/')) => Target::Root,
            Some(Kind::Label(label)) => Target::Label(label.clone()),
            Some(Kind::Path(path)) => Target::Path(path.clone()),
            _ => {
                self.at = self.at.saturating_sub(1);
                return Err(self.error("a node is expected: / { }, &label { } or &{/path} { }"));
            }
        };
        let mut body = self.body(0)?;
        body.labels.append(&mut labels);
        source.items.push(Item {
            line,
            target,
            body: Some(body),
        });
        Ok(())
    }

    fn directive(&mut self, word: &str, source: &mut Source) -> Result<(), DtsError> {
        match word {
            "dts-v1" => {}
            "plugin" => source.plugin = true,
            "memreserve" => {
                let pair = (self.number(u64::MAX)?, self.number(u64::MAX)?);
                source.reservations.push(pair);
            }
            "delete-node" => {
                let line = self.line();
                let target = match self.next() {
                    Some(Kind::Label(label)) => Target::Label(label.clone()),
                    Some(Kind::Path(path)) => Target::Path(path.clone()),
                    _ => return Err(self.error("/delete-node/ needs &label or &{/path} here")),
                };
                source.items.push(Item {
                    line,
                    target,
                    body: None,
                });
            }
            other => return Err(self.error(format!("/{other}/ is not understood"))),
        }
        self.expect(';')
    }

    /// Labels before a node or property: `a: b:`.
    fn labels(&mut self) -> Vec<String> {
        let mut labels = Vec::new();
        while let (Some(Kind::Word(word)), Some(Kind::Mark(':'))) = (
            self.peek(),
            self.tokens.get(self.at.saturating_add(1)).map(|t| &t.kind),
        ) {
            labels.push(word.clone());
            self.at = self.at.saturating_add(2);
        }
        labels
    }

    fn body(&mut self, depth: usize) -> Result<Body, DtsError> {
        if depth >= MAX_DEPTH {
            return Err(self.error("nodes nest too deeply"));
        }
        let mut body = Body::default();
        self.expect('{')?;
        while !self.skip('}') {
            self.member(&mut body, depth)?;
        }
        self.expect(';')?;
        Ok(body)
    }

    fn member(&mut self, body: &mut Body, depth: usize) -> Result<(), DtsError> {
        let mut labels = self.labels();
        if let Some(Kind::Directive(word)) = self.peek() {
            self.at = self.at.saturating_add(1);
            let list = match word.as_str() {
                "delete-property" => &mut body.deleted_properties,
                "delete-node" => &mut body.deleted_children,
                _ => return Err(self.error(format!("/{word}/ is not understood here"))),
            };
            list.push(self.name()?);
            return self.expect(';');
        }
        let line = self.line();
        let name = self.name()?;
        if self.peek() == Some(&Kind::Mark('{')) {
            let mut child = self.body(depth.saturating_add(1))?;
            child.labels.append(&mut labels);
            body.children.push((name, child));
            return Ok(());
        }
        let pieces = if self.skip('=') {
            self.values()?
        } else {
            Vec::new()
        };
        self.expect(';')?;
        body.properties.push(Property { line, name, pieces });
        Ok(())
    }

    /// A name may hold commas, which are marks elsewhere.
    fn name(&mut self) -> Result<String, DtsError> {
        let mut name = String::from(self.word()?);
        while self.skip(',') {
            name.push(',');
            name.push_str(self.word()?);
        }
        Ok(name)
    }

    fn values(&mut self) -> Result<Vec<Piece>, DtsError> {
        let mut pieces = Vec::new();
        loop {
            match self.next() {
                Some(Kind::Text(text)) => {
                    let mut bytes = text.clone();
                    bytes.push(0);
                    pieces.push(Piece::Bytes(bytes));
                }
                Some(Kind::Label(label)) => {
                    pieces.push(Piece::PathOf(Target::Label(label.clone())))
                }
                Some(Kind::Path(path)) => pieces.push(Piece::PathOf(Target::Path(path.clone()))),
                Some(Kind::Mark('<')) => self.cells(4, &mut pieces)?,
                Some(Kind::Mark('[')) => pieces.push(Piece::Bytes(self.byte_string()?)),
                Some(Kind::Directive(word)) if word == "bits" => {
                    let width = self.width()?;
                    self.expect('<')?;
                    self.cells(width, &mut pieces)?;
                }
                _ => {
                    self.at = self.at.saturating_sub(1);
                    return Err(self.error("a value is missing: \"text\", <cells> or [bytes]"));
                }
            }
            if !self.skip(',') {
                return Ok(pieces);
            }
        }
    }

    /// Bytes per element after `/bits/`.
    fn width(&mut self) -> Result<usize, DtsError> {
        match self.word()? {
            "8" => Ok(1),
            "16" => Ok(2),
            "32" => Ok(4),
            "64" => Ok(8),
            _ => Err(self.error("/bits/ takes 8, 16, 32 or 64")),
        }
    }

    fn cells(&mut self, width: usize, pieces: &mut Vec<Piece>) -> Result<(), DtsError> {
        let limit = match width {
            1 => 0xff,
            2 => 0xffff,
            4 => 0xffff_ffff,
            _ => u64::MAX,
        };
        while !self.skip('>') {
            match self.peek() {
                Some(Kind::Label(label)) if width == 4 => {
                    pieces.push(Piece::Reference(Target::Label(label.clone())));
                    self.at = self.at.saturating_add(1);
                }
                Some(Kind::Path(path)) if width == 4 => {
                    pieces.push(Piece::Reference(Target::Path(path.clone())));
                    self.at = self.at.saturating_add(1);
                }
                _ => {
                    let number = self.number(limit)?.to_be_bytes();
                    let skip = 8usize.saturating_sub(width);
                    pieces.push(Piece::Bytes(
                        number.get(skip..).unwrap_or_default().to_vec(),
                    ));
                }
            }
        }
        Ok(())
    }

    /// A number, possibly in parentheses or with a minus sign.
    fn number(&mut self, limit: u64) -> Result<u64, DtsError> {
        if self.skip('(') {
            let value = self.number(limit)?;
            self.expect(')')?;
            return Ok(value);
        }
        let word = self.word()?;
        let (negative, digits) = match word.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, word),
        };
        let digits = digits.trim_end_matches(['u', 'U', 'l', 'L']);
        let value = match digits
            .strip_prefix("0x")
            .or_else(|| digits.strip_prefix("0X"))
        {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        let value = value.map_err(|_| self.error(format!("{word:?} is no number")))?;
        let value = if negative {
            value.wrapping_neg() & limit
        } else {
            value
        };
        if value > limit {
            return Err(self.error(format!("{word} does not fit into {limit:#x}")));
        }
        Ok(value)
    }

    fn byte_string(&mut self) -> Result<Vec<u8>, DtsError> {
        let mut digits = String::new();
        while !self.skip(']') {
            digits.push_str(self.word()?);
        }
        let bytes = digits.as_bytes().chunks(2).map(|pair| {
            let text = core::str::from_utf8(pair).ok().filter(|t| t.len() == 2);
            text.and_then(|t| u8::from_str_radix(t, 16).ok())
        });
        let bytes: Option<Vec<u8>> = bytes.collect();
        bytes.ok_or_else(|| self.error("a byte string needs pairs of hexadecimal digits"))
    }
}
