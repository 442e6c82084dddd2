//! Writes initramfs archives ("newc" cpio), owner root, without being root.

/// An archive under construction.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inodes: u32,
}

const DIRECTORY: u32 = 0o040_755;
const SYMLINK: u32 = 0o120_777;
const CHARACTER: u32 = 0o020_600;
const FILE: u32 = 0o100_000;

impl Archive {
    /// Adds a directory; parents must have been added before.
    pub fn dir(&mut self, name: &str) -> &mut Self {
        self.entry(name, DIRECTORY, (0, 0), &[])
    }

    /// Adds a regular file with permission bits such as `0o755`.
    pub fn file(&mut self, name: &str, permissions: u32, data: &[u8]) -> &mut Self {
        self.entry(name, FILE | permissions, (0, 0), data)
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, name: &str, target: &str) -> &mut Self {
        self.entry(name, SYMLINK, (0, 0), target.as_bytes())
    }

    /// Adds a character device: the one thing `mknod` would need root for.
    pub fn chardev(&mut self, name: &str, major: u32, minor: u32) -> &mut Self {
        self.entry(name, CHARACTER, (major, minor), &[])
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, rdev: (u32, u32), data: &[u8]) -> &mut Self {
        self.inodes += 1;
        let fields = [
            self.inodes,
            mode,
            0,
            0,
            1,
            0,
            data.len() as u32,
            0,
            0,
            rdev.0,
            rdev.1,
            name.len() as u32 + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
        self
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_110_bytes_and_everything_is_aligned() {
        let mut archive = Archive::default();
        archive.file("init", 0o755, b"hello");
        let bytes = archive.finish();
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[14..22], b"000081ed", "mode of an executable file");
        assert_eq!(&bytes[54..62], b"00000005", "size");
        assert_eq!(&bytes[110..115], b"init\0");
        assert_eq!(
            &bytes[116..121],
            b"hello",
            "data starts at a multiple of four"
        );
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.windows(10).any(|w| w == b"TRAILER!!!"));
    }

    #[test]
    fn device_numbers_are_kept() {
        let mut archive = Archive::default();
        archive.chardev("dev/console", 5, 1);
        let bytes = archive.finish();
        assert_eq!(&bytes[78..94], b"0000000500000001");
    }
}
