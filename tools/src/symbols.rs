//! Names for the addresses in a hypervisor's reports.
//!
//! The image carries no names, it is small for a reason. A report prints
//! offsets into it (`image+0x1234`), and the ELF file that the image was made
//! of tells what stands there: the image is linked at zero.
use object::{Object, ObjectSymbol, SymbolKind};
use std::fmt::Write;

/// What comes before an offset in a report.
const MARK: &str = "image+0x";

/// Functions by address.
#[derive(Debug, Default)]
pub struct Symbols {
    /// Sorted: address, length in bytes (0: not said), demangled name.
    functions: Vec<(u64, u64, String)>,
}

impl Symbols {
    /// The functions of an ELF file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(elf: &[u8]) -> Result<Self, String> {
        let file = object::File::parse(elf).map_err(|error| error.to_string())?;
        let mut functions: Vec<_> = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
            .filter_map(|symbol| {
                let name = rustc_demangle::demangle(symbol.name().ok()?);
                // Without the hash that the compiler appends.
                Some((symbol.address(), symbol.size(), format!("{name:#}")))
            })
            .collect();
        functions.sort();
        if functions.is_empty() {
            return Err("the file has no symbols: was it stripped?".into());
        }
        Ok(Self { functions })
    }

    /// The names as they ride on an image.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let word = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let functions = self.functions.iter();
        platform::symbols::pack(
            functions.map(|(start, size, name)| (word(*start), word(*size), name.as_str())),
        )
    }

    /// Address of the first function with this name.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<u64> {
        let found = self.functions.iter().find(|(.., known)| known == name);
        found.map(|(start, ..)| *start)
    }

    /// The function that `offset` lies in, and how far inside.
    #[must_use]
    pub fn find(&self, offset: u64) -> Option<(&str, u64)> {
        let after = self
            .functions
            .partition_point(|(start, ..)| *start <= offset);
        let (start, size, name) = self.functions.get(after.checked_sub(1)?)?;
        let inside = offset - start;
        (*size == 0 || inside < *size).then_some((name, inside))
    }

    /// `line` with a name behind every offset that has one.
    #[must_use]
    pub fn explain(&self, line: &str) -> String {
        let mut out = String::new();
        let mut rest = line;
        while let Some(at) = rest.find(MARK) {
            let digits = at + MARK.len();
            let tail = &rest[digits..];
            let end = tail
                .find(|c: char| !c.is_ascii_hexdigit())
                .unwrap_or(tail.len());
            out.push_str(&rest[..digits + end]);
            let offset = u64::from_str_radix(&tail[..end], 16).ok();
            if let Some((name, inside)) = offset.and_then(|offset| self.find(offset)) {
                // Writing to a string cannot fail.
                let _ = write!(out, " <{name}+{inside:#x}>");
            }
            rest = &tail[end..];
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Symbols {
        Symbols {
            functions: vec![
                (0x100, 0x20, "first".into()),
                (0x140, 0x10, "second".into()),
                (0x200, 0, "unsized".into()),
            ],
        }
    }

    #[test]
    fn finds_the_function_an_offset_lies_in() {
        let symbols = sample();
        assert_eq!(symbols.find(0xff), None);
        assert_eq!(symbols.find(0x100), Some(("first", 0)));
        assert_eq!(symbols.find(0x11f), Some(("first", 0x1f)));
        assert_eq!(symbols.find(0x120), None, "between functions");
        assert_eq!(symbols.find(0x14f), Some(("second", 0xf)));
        assert_eq!(symbols.find(0x1000), Some(("unsized", 0xe00)));
    }

    #[test]
    fn explains_every_offset_and_keeps_the_rest() {
        let said = sample().explain("elr 0x40200104 (image+0x104) from image+0x142, image+0x130.");
        let wanted = "elr 0x40200104 (image+0x104 <first+0x4>) \
                      from image+0x142 <second+0x2>, image+0x130.";
        assert_eq!(said, wanted);
        assert_eq!(sample().explain("nothing here"), "nothing here");
        assert_eq!(sample().explain("image+0x"), "image+0x");
        let long = "image+0xffffffffffffffffff";
        assert_eq!(sample().explain(long), long, "more than 64 bits");
    }

    /// This very test program is an ELF file with names.
    #[test]
    fn reads_the_names_of_an_elf_file() {
        let elf = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let symbols = Symbols::read(&elf).unwrap();
        let wanted = "stagegate::symbols::Symbols::read";
        let (start, ..) = symbols
            .functions
            .iter()
            .find(|(.., name)| name == wanted)
            .expect("the function under test is in the test program");
        assert_eq!(symbols.find(start + 1), Some((wanted, 1)));
    }

    #[test]
    fn says_what_is_wrong_with_a_file() {
        assert!(Symbols::read(b"no ELF file").is_err());
        assert!(Symbols::read(b"").is_err());
    }
}
