//! Compiling device-tree source: the part of the language that board overlays
//! use, so that an operator needs no other tool.
//!
//! Understood are `/dts-v1/`, `/plugin/`, `/memreserve/`, labels, `&label` and
//! `&{/path}` nodes and references, strings, cells with numbers and simple
//! parentheses, byte strings, `/bits/`, `/delete-node/` and
//! `/delete-property/`. There is no preprocessor and no `/include/`.
mod emit;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Where and why a source does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DtsError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for DtsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl core::error::Error for DtsError {}

/// Compiles a source to a blob; one with `/plugin/` becomes an overlay. Labels
/// are kept in `__symbols__`, as `dtc -@` does.
///
/// # Errors
/// [`DtsError`] at the first mistake.
pub fn compile(source: &str) -> Result<Vec<u8>, DtsError> {
    let tokens = lexer::tokens(source)?;
    emit::emit(&parser::parse(&tokens)?)
}

/// A source after parsing.
#[derive(Debug, Default)]
struct Source {
    plugin: bool,
    reservations: Vec<(u64, u64)>,
    items: Vec<Item>,
}

/// A top-level node.
#[derive(Debug)]
struct Item {
    line: usize,
    target: Target,
    /// Absent for a deletion.
    body: Option<Body>,
}

/// What a top-level node is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Root,
    Label(String),
    Path(String),
}

/// Contents of a node.
#[derive(Debug, Default)]
struct Body {
    labels: Vec<String>,
    properties: Vec<Property>,
    children: Vec<(String, Body)>,
    deleted_properties: Vec<String>,
    deleted_children: Vec<String>,
}

/// A property and where it stands.
#[derive(Debug)]
struct Property {
    line: usize,
    name: String,
    pieces: Vec<Piece>,
}

/// A piece of a property's value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Bytes(Vec<u8>),
    /// A phandle.
    Reference(Target),
    /// A path as text.
    PathOf(Target),
}
