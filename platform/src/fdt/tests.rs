use super::*;
use alloc::vec::Vec;

const SOURCE: &str = r#"/dts-v1/;
/memreserve/ 0x1000 0x2000;
/ {
	#address-cells = <2>;
	compatible = "test,board", "test,generic";
	soc { bus@10 { leaf { value = <1 2 3>; }; }; bus@20 { status = "disabled"; }; };
	empty;
};"#;

fn blob() -> Vec<u8> {
    crate::dts::compile(SOURCE).unwrap()
}

#[test]
fn a_checked_tree_reads_back() {
    let bytes = blob();
    let blob = Blob::check(&bytes).unwrap();
    assert_eq!(blob.reservations().collect::<Vec<_>>(), [(0x1000, 0x2000)]);
    let root = blob.root();
    assert_eq!(
        (root.name(), root.address_cells(), root.size_cells()),
        ("", 2, 1)
    );
    assert!(root.is_compatible("test,generic") && !root.is_compatible("test"));
    let leaf = blob.find("/soc/bus@10/leaf").unwrap();
    let value = leaf.property("value").unwrap();
    assert_eq!(value.cells().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(
        (value.u32(), value.cell(2), value.cell(3)),
        (None, Some(3), None)
    );
    assert_eq!(root.property("empty").unwrap().value, b"");
    assert_eq!(root.property("compatible").unwrap().name, "compatible");
    let others = ["compat", "compatible2", "ompatible", ""];
    assert!(others.iter().all(|name| root.property(name).is_none()));
}

#[test]
fn a_name_without_address_finds_the_first() {
    let bytes = blob();
    let blob = Blob::check(&bytes).unwrap();
    assert_eq!(blob.find("/soc/bus").unwrap().name(), "bus@10");
    assert!(blob.find("/soc/bus@30").is_none());
    assert!(blob.find("soc").is_none());
    assert!(!blob.find("/soc/bus@20").unwrap().is_enabled());
}

#[test]
fn every_truncation_is_refused() {
    let bytes = blob();
    for cut in 0..bytes.len() {
        assert!(Blob::check(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

/// Walks everything there is to walk.
fn walk(node: Node<'_>, depth: usize) -> usize {
    assert!(depth <= MAX_DEPTH);
    let own = node
        .properties()
        .map(|p| p.strings().count() + p.cells().count())
        .sum::<usize>();
    own + node.children().map(|c| walk(c, depth + 1)).sum::<usize>()
}

#[test]
fn every_flipped_byte_is_refused_or_read_without_harm() {
    let bytes = blob();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            if let Ok(blob) = Blob::check(&bad) {
                walk(blob.root(), 0);
                blob.reservations().for_each(drop);
                let _ = crate::early::scan(&bad);
            }
        }
    }
}

#[test]
fn the_header_is_checked_field_by_field() {
    let good = blob();
    let with = |offset: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
        Blob::check(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 0xfeed), FdtError::Magic(0xfeed));
    assert_eq!(with(20, 16), FdtError::Version(16));
    assert_eq!(with(24, 18), FdtError::Version(18));
    assert_eq!(with(4, 0x7fff_ffff), FdtError::TooLarge(0x7fff_ffff));
    assert_eq!(with(8, 0xffff_fff0), FdtError::Block(0xffff_fff0));
    assert_eq!(with(8, 0x3a), FdtError::Block(0x3a));
    assert_eq!(with(36, u32::MAX), FdtError::Block(0x48));
    let need = good.len() + 4;
    assert_eq!(
        with(4, need as u32),
        FdtError::Truncated {
            have: good.len(),
            need
        }
    );
}

/// A blob with this structure block and the one string "x".
fn raw(words: &[u32]) -> Vec<u8> {
    let structure: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    let strings = 56 + structure.len();
    let total = strings + 2;
    let header = [
        0xd00d_feed,
        total,
        56,
        strings,
        40,
        17,
        16,
        0,
        2,
        structure.len(),
    ];
    let mut bytes: Vec<u8> = header
        .iter()
        .flat_map(|w| (*w as u32).to_be_bytes())
        .collect();
    bytes.extend([0; 16]);
    bytes.extend(structure);
    bytes.extend(b"x\0");
    bytes
}

#[test]
fn misplaced_tokens_are_refused() {
    let check = |words: &[u32]| Blob::check(&raw(words)).map(|_| ());
    let root = [1, 0];
    assert_eq!(check(&[&root[..], &[2, 9]].concat()), Ok(()));
    assert_eq!(check(&[&root[..], &[4, 4, 2, 4, 9]].concat()), Ok(()));
    assert_eq!(check(&[9]), Err(FdtError::Token(56)));
    assert_eq!(check(&[2, 9]), Err(FdtError::Token(56)));
    assert_eq!(check(&[&root[..], &[9]].concat()), Err(FdtError::Token(64)));
    assert_eq!(check(&[&root[..], &[2]].concat()), Err(FdtError::Token(68)));
    // Two roots, a property after a child, a child without a name.
    assert!(check(&[1, 0, 2, 1, 0, 2, 9]).is_err());
    assert!(check(&[1, 0, 1, 0x6100_0000, 2, 3, 0, 0, 2, 9]).is_err());
    assert!(check(&[1, 0, 1, 0, 2, 2, 9]).is_err());
    // A value longer than the block; a name outside the strings.
    assert!(check(&[1, 0, 3, 400, 0, 2, 9]).is_err());
    assert!(check(&[1, 0, 3, 0, 77, 2, 9]).is_err());
}

#[test]
fn nesting_is_bounded() {
    let nest = |depth: usize| {
        let mut words = alloc::vec![1, 0];
        words.extend([1, 0x6100_0000].repeat(depth - 1));
        words.extend(alloc::vec![2; depth]);
        words.push(9);
        raw(&words)
    };
    assert!(Blob::check(&nest(MAX_DEPTH)).is_ok());
    assert!(matches!(
        Blob::check(&nest(MAX_DEPTH + 1)),
        Err(FdtError::Depth(_))
    ));
}

/// QEMU leaves 1 MiB of room.
#[test]
fn padding_is_left_out_and_nothing_else() {
    let bytes = blob();
    let whole = Blob::check(&bytes).unwrap();
    let mut padded = bytes.clone();
    padded.resize(1 << 20, 0);
    padded[4..8].copy_from_slice(&(1_u32 << 20).to_be_bytes());
    let trimmed = Blob::check(&padded).unwrap().trimmed();
    assert!(trimmed.len() <= bytes.len());
    let trimmed = Blob::check(&trimmed).unwrap();
    assert_eq!(walk(trimmed.root(), 0), walk(whole.root(), 0));
    assert!(trimmed.reservations().eq(whole.reservations()));
}
