//! `stagegate image`.
use crate::input::{Error, read, tree, write};
use crate::pack::{Input, PackingError, image};
use crate::symbols::Symbols;
use platform::pack::Kind;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of `stagegate image`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The hypervisor (arm64 Image)
    hypervisor: PathBuf,
    #[command(flatten)]
    contents: Contents,
    /// Where to write the packed image
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Also write a source for U-Boot's mkimage (FIT) here
    #[arg(long, value_name = "FILE")]
    its: Option<PathBuf>,
    /// Address at which U-Boot is to load the image (with --its)
    #[arg(long, default_value = "0x42000000")]
    load: String,
}

/// What can be packed behind a hypervisor.
#[derive(Debug, clap::Args)]
pub struct Contents {
    /// Overlays in the order they apply (.dtbo, or .dtso source)
    #[arg(long = "overlay", value_name = "FILE")]
    overlays: Vec<PathBuf>,
    /// A kernel or RAM disk, under the name its module asks for
    #[arg(long = "file", value_name = "NAME=FILE", value_parser = named)]
    files: Vec<(String, PathBuf)>,
    /// The hypervisor's ELF file: reports of its own faults then name functions
    #[arg(long, value_name = "ELF")]
    symbols: Option<PathBuf>,
}

fn named(argument: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = argument.split_once('=').ok_or("write NAME=FILE")?;
    Ok((name.into(), path.into()))
}

impl Contents {
    /// Reads the files.
    ///
    /// # Errors
    /// [`Error`] when one cannot be read, or is not what it should be.
    pub fn inputs(&self) -> Result<Vec<Input>, Error> {
        let mut files = Vec::new();
        for path in &self.overlays {
            let stem = path
                .file_stem()
                .and_then(|s| s.to_str())
                .unwrap_or("overlay");
            files.push(Input {
                name: stem.into(),
                kind: Kind::Overlay,
                bytes: tree(path)?,
            });
        }
        for (name, path) in &self.files {
            files.push(Input {
                name: name.clone(),
                kind: Kind::File,
                bytes: read(path)?,
            });
        }
        if let Some(path) = &self.symbols {
            let symbols = Symbols::read(&read(path)?);
            let symbols = symbols.map_err(|error| Error::Content(path.clone(), error))?;
            files.push(Input {
                name: "symbols".into(),
                kind: Kind::Symbols,
                bytes: symbols.pack(),
            });
        }
        Ok(files)
    }
}

/// The hypervisor of this file with these files behind it.
pub(super) fn pack(hypervisor: &Path, files: &[Input]) -> Result<Vec<u8>, Error> {
    let content = |error: PackingError| Error::Content(hypervisor.into(), error.to_string());
    image(&read(hypervisor)?, files).map_err(content)
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<ExitCode, Error> {
    let files = options.contents.inputs()?;
    let packed = pack(&options.hypervisor, &files)?;
    write(&options.output, &packed)?;
    for file in &files {
        let kind = match file.kind {
            Kind::Overlay => "overlay",
            Kind::File => "file",
            Kind::Symbols => "symbols",
        };
        writeln!(
            out,
            "{kind:>8} {:<24} {:>10} bytes",
            file.name,
            file.bytes.len()
        )?;
    }
    writeln!(out, "{}: {} bytes", options.output.display(), packed.len())?;
    if let Some(its) = &options.its {
        write(its, fit_source(&options.output, &options.load).as_bytes())?;
        writeln!(out, "{}: for mkimage -f", its.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A FIT source with the packed image as its kernel. U-Boot passes its own
/// device tree on.
fn fit_source(image: &Path, load: &str) -> String {
    let mut text = String::from("/dts-v1/;\n\n/ {\n\tdescription = \"Stagegate\";\n");
    let _ = write!(
        text,
        "\timages {{\n\t\tstagegate {{\n\
         \t\t\tdata = /incbin/(\"{}\");\n\
         \t\t\ttype = \"kernel\";\n\
         \t\t\tarch = \"arm64\";\n\
         \t\t\tos = \"linux\";\n\
         \t\t\tcompression = \"none\";\n\
         \t\t\tload = <{load}>;\n\
         \t\t\tentry = <{load}>;\n\
         \t\t\thash {{ algo = \"sha256\"; }};\n\
         \t\t}};\n\t}};\n",
        image.display()
    );
    text.push_str(
        "\tconfigurations {\n\t\tdefault = \"stagegate\";\n\
         \t\tstagegate { kernel = \"stagegate\"; };\n\t};\n};\n",
    );
    text
}
