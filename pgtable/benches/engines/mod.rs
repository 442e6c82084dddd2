//! The engines under comparison, behind one face. All of them use the
//! program's heap for tables and identity addresses; none invalidates
//! anything, and each operation ends with a full barrier.

use std::hint::black_box;

pub mod multiarch;
pub mod ours;
pub mod paging;

/// What every engine can do. Lengths in bytes; `ipa` is mapped to itself.
pub trait Engine {
    /// Maps a range that is not mapped.
    fn map(&mut self, ipa: u64, len: u64);
    /// Maps these pages, each by itself, as a list if the engine has such a
    /// thing.
    fn map_pages(&mut self, ipas: impl Iterator<Item = u64>) {
        ipas.for_each(|ipa| self.map(ipa, PAGE));
    }
    /// Unmaps what was mapped in one call, or page by page.
    fn unmap(&mut self, ipa: u64, len: u64);
    /// The attributes that a lookup yields.
    type Attrs: Copy;
    /// Looks an address up: where it leads, with what attributes, and the
    /// bytes that its descriptor maps.
    fn translate(&self, ipa: u64) -> Option<(u64, Self::Attrs, u64)>;
    /// Looks up several addresses, in one go if the engine has such a thing.
    fn translate_several(&self, ipas: &[u64]) {
        each(ipas, |ipa| self.translate(ipa));
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

/// Looks up all of `ipas`, one after the other, and uses everything found. That
/// is opaque to the compiler, so that the loop stays the plain loop that it is,
/// whatever `find` does.
#[inline(always)]
pub fn each<A>(ipas: &[u64], find: impl Fn(u64) -> Option<(u64, A, u64)>) {
    for ipa in ipas {
        if let Some((pa, attrs, size)) = find(black_box(*ipa)) {
            black_box(pa);
            black_box(attrs);
            black_box(size);
        }
    }
}

/// One turn of looking up 16 addresses near `IPA`.
#[inline(always)]
fn look<const IPA: u64>(all: impl Fn(&[u64])) {
    let ipas: &[u64] = const { &[IPA + 0x123; 16] };
    all(black_box(ipas));
}

/// A measured case.
pub struct Case<E> {
    pub name: &'static str,
    /// Operations (map plus unmap, or translate) in a turn.
    pub operations: u64,
    pub turn: Turn<E>,
    /// What a turn does besides: taken off where instructions are counted.
    #[allow(dead_code)]
    pub empty: Turn<E>,
}

/// All cases.
pub fn cases<E: Engine>() -> [Case<E>; 8] {
    let nothing: Turn<E> = |_| ();
    let addresses: Turn<E> = |_| look::<REGION>(|ipas| each(ipas, |ipa| Some((ipa, ipa, ipa))));
    let case = |name, operations, empty, turn| Case {
        name,
        operations,
        turn,
        empty,
    };
    [
        case("map_unmap_4k", 1, nothing, |e| {
            e.map(REGION + 7 * PAGE, PAGE);
            e.unmap(REGION + 7 * PAGE, PAGE);
        }),
        case("map_unmap_512_pages_per_page", 512, nothing, |e| {
            // Half of one region and half of the next: both tables stay.
            e.map(REGION + BLOCK / 2, BLOCK);
            e.unmap(REGION + BLOCK / 2, BLOCK);
        }),
        case("map_unmap_511_of_a_table_per_page", 511, nothing, |e| {
            // All of a table but the page that keeps it.
            e.map(REGION + PAGE, BLOCK - PAGE);
            e.unmap(REGION + PAGE, BLOCK - PAGE);
        }),
        case("map_list_unmap_256_per_page", 256, nothing, |e| {
            // Each page an entry of its own; taken out in one go.
            let start = black_box(REGION + PAGE);
            e.map_pages((0..256).map(|n| start + n * PAGE));
            e.unmap(start, 256 * PAGE);
        }),
        case("map_unmap_2m", 1, nothing, |e| {
            e.map(REGION + 16 * BLOCK, BLOCK);
            e.unmap(REGION + 16 * BLOCK, BLOCK);
        }),
        case("translate_4k", 16, addresses, |e| {
            look::<REGION>(|ipas| each(ipas, |ipa| e.translate(ipa)));
        }),
        case("translate_2m", 16, addresses, |e| {
            look::<{ REGION + 32 * BLOCK }>(|ipas| each(ipas, |ipa| e.translate(ipa)));
        }),
        case("translate_4k_several", 16, addresses, |e| {
            look::<REGION>(|ipas| e.translate_several(ipas));
        }),
    ]
}

/// What is mapped before any case runs.
pub fn prepare(engine: &mut impl Engine) {
    engine.map(REGION, PAGE);
    engine.map(REGION + 2 * BLOCK - PAGE, PAGE);
    engine.map(REGION + 32 * BLOCK, BLOCK);
}
