//! The engines under comparison, behind one face. All of them use the
//! program's heap for tables and identity addresses; none invalidates
//! anything, and each operation ends with a full barrier.

pub mod multiarch;
pub mod ours;
pub mod paging;

/// What every engine can do. Lengths in bytes; `ipa` is mapped to itself.
pub trait Engine {
    /// Maps a range that is not mapped.
    fn map(&mut self, ipa: u64, len: u64);
    /// Unmaps what was mapped in one call.
    fn unmap(&mut self, ipa: u64, len: u64);
    /// Looks an address up; zero if it is not mapped.
    fn translate(&self, ipa: u64) -> u64;
    /// Looks up several addresses, in one go if the engine has such a thing.
    fn translate_several(&self, ipas: &[u64; 16]) -> u64 {
        ipas.iter().fold(0, |sum, ipa| sum ^ self.translate(*ipa))
    }
}

/// A full barrier, as a walker's view of the change needs it.
#[inline(always)]
pub fn barrier() {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// Where the measurements happen: inside a 2 MiB region whose table exists,
/// and in the next regions.
pub const REGION: u64 = 0x4000_0000;
pub const PAGE: u64 = 0x1000;
pub const BLOCK: u64 = 0x20_0000;

/// One turn of a case.
pub type Turn<E> = fn(&mut E);

/// The cases, with the operations (map plus unmap, or translate) in a turn.
pub fn cases<E: Engine>() -> [(&'static str, u64, Turn<E>); 7] {
    [
        ("map_unmap_4k", 1, |e| {
            e.map(REGION + 7 * PAGE, PAGE);
            e.unmap(REGION + 7 * PAGE, PAGE);
        }),
        ("map_unmap_512_pages_per_page", 512, |e| {
            // Half of one region and half of the next: both tables stay.
            e.map(REGION + BLOCK / 2, BLOCK);
            e.unmap(REGION + BLOCK / 2, BLOCK);
        }),
        ("map_unmap_511_of_a_table_per_page", 511, |e| {
            // All of a table but the page that keeps it.
            e.map(REGION + PAGE, BLOCK - PAGE);
            e.unmap(REGION + PAGE, BLOCK - PAGE);
        }),
        ("map_unmap_2m", 1, |e| {
            e.map(REGION + 16 * BLOCK, BLOCK);
            e.unmap(REGION + 16 * BLOCK, BLOCK);
        }),
        ("translate_4k", 16, |e| {
            let ipas = std::hint::black_box(&[REGION + 0x123; 16]);
            std::hint::black_box(ipas.iter().fold(0, |sum, ipa| sum ^ e.translate(*ipa)));
        }),
        ("translate_2m", 16, |e| {
            let ipas = std::hint::black_box(&[REGION + 32 * BLOCK + 0x123; 16]);
            std::hint::black_box(ipas.iter().fold(0, |sum, ipa| sum ^ e.translate(*ipa)));
        }),
        ("translate_4k_several", 16, |e| {
            let ipas = std::hint::black_box(&[REGION + 0x123; 16]);
            std::hint::black_box(e.translate_several(ipas));
        }),
    ]
}

/// What is mapped before any case runs.
pub fn prepare(engine: &mut impl Engine) {
    engine.map(REGION, PAGE);
    engine.map(REGION + 2 * BLOCK - PAGE, PAGE);
    engine.map(REGION + 32 * BLOCK, BLOCK);
}
