//! Files the operator names: board trees and overlays, as blob or as source.
use platform::fdt::Blob;
use platform::overlay::{Named, merge};
use platform::report::Report;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Why a command cannot do its work at all.
#[derive(Debug)]
pub enum Error {
    /// A file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// A file cannot be written, or a directory not made.
    Unwritable(PathBuf, io::Error),
    /// A file is there that would be written over.
    Exists(PathBuf),
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
            Self::Unreadable(path, error) => {
                let remedy = reading(error.kind());
                write!(f, "cannot read {}: {error}{remedy}", path.display())
            }
            Self::Unwritable(path, error) => {
                write!(f, "cannot write {}: {error}", path.display())?;
                f.write_str(&writing(path, error.kind()))
            }
            Self::Exists(path) => write!(
                f,
                "{} exists and may have been edited; name another file, or --force to write over it",
                path.display()
            ),
            Self::Content(path, what) => write!(f, "{}: {what}", path.display()),
            Self::Qemu(what) => f.write_str(what),
            Self::Output(error) => write!(f, "cannot write: {error}"),
        }
    }
}

/// What to do about a file that cannot be read.
const fn reading(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            "; correct the name: it counts from the current directory"
        }
        io::ErrorKind::IsADirectory => "; name a file in it",
        io::ErrorKind::PermissionDenied => "; ls -l tells who may read it",
        _ => "",
    }
}

/// What to do about a file that cannot be written.
fn writing(path: &Path, kind: io::ErrorKind) -> String {
    let directory = path.parent().unwrap_or(path).display();
    match kind {
        io::ErrorKind::NotFound => format!("; make its directory: mkdir -p {directory}"),
        io::ErrorKind::NotADirectory => format!("; {directory} is a file: name another place"),
        io::ErrorKind::IsADirectory => "; name a file in it".into(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; name a place where you may write".into()
        }
        io::ErrorKind::StorageFull => "; make room, or name another place".into(),
        _ => String::new(),
    }
}

impl Error {
    /// The exit status that goes with it, and whether there is somebody to
    /// tell: a reader such as `head` that has seen enough is no error.
    #[must_use]
    pub fn status(&self) -> (u8, bool) {
        match self {
            // As if by the signal that ends other programs then.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => (141, false),
            _ => (2, true),
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
/// [`Error::Unreadable`].
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::Unreadable(path.into(), error))
}

/// Writes a file.
///
/// # Errors
/// [`Error::Unwritable`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes).map_err(|error| Error::Unwritable(path.into(), error))
}

/// Whether a file is device-tree source, by its name.
#[must_use]
pub fn is_source(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    matches!(extension, Some("dts" | "dtso"))
}

/// Reads a device tree or overlay: a blob, or source if the name ends in
/// `.dts` or `.dtso`.
///
/// # Errors
/// [`Error`] when there is no such file or the source does not compile.
pub fn tree(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = read(path)?;
    if !is_source(path) {
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
