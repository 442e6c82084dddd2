//! Files the operator names: board trees and overlays, as blob or as source.
use platform::fdt::Blob;
use platform::overlay::{Named, merge};
use platform::report::Report;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Why a command cannot do its work at all.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// A file is not what it should be.
    Content(PathBuf, String),
    /// Writing the output failed.
    Output(io::Error),
    /// QEMU cannot be used.
    Qemu(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Content(path, what) => write!(f, "{}: {what}", path.display()),
            Self::Qemu(what) => f.write_str(what),
            Self::Output(error) => write!(f, "cannot write: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Reads a file.
///
/// # Errors
/// [`Error::File`].
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::File(path.into(), error))
}

/// Writes a file.
///
/// # Errors
/// [`Error::File`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|error| Error::File(path.into(), error))
}

/// Reads a device tree or overlay: a blob, or source if the name ends in
/// `.dts` or `.dtso`.
///
/// # Errors
/// [`Error`] when there is no such file or the source does not compile.
pub fn tree(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = read(path)?;
    let extension = path.extension().and_then(|e| e.to_str());
    if !matches!(extension, Some("dts" | "dtso")) {
        return Ok(bytes);
    }
    let content = |what: String| Error::Content(path.into(), what);
    let source = String::from_utf8(bytes).map_err(|_| content("not text".into()))?;
    platform::dts::compile(&source).map_err(|error| content(error.to_string()))
}

/// Reads a board and applies overlays to it. `None` when that fails; the
/// report then says why.
///
/// # Errors
/// [`Error`] when a file cannot be read.
pub fn merged(
    board: &Path,
    overlays: &[PathBuf],
    report: &mut Report,
) -> Result<Option<Vec<u8>>, Error> {
    let base = tree(board)?;
    let blobs = overlays
        .iter()
        .map(|path| tree(path))
        .collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = overlays.iter().map(|p| p.display().to_string()).collect();
    let named: Vec<Named<'_>> = names
        .iter()
        .zip(&blobs)
        .map(|(name, bytes)| Named { name, bytes })
        .collect();
    match Blob::check(&base) {
        Ok(blob) => Ok(merge(&blob, &named, report)),
        Err(error) => {
            let name = board.display().to_string();
            let remedy = "compile or copy the file again";
            report.error("blob", (&name, ""), error.to_string(), remedy);
            Ok(None)
        }
    }
}
