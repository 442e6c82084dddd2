//! Device-tree blobs.

use platform::fdt::Blob;
use platform::tree::{NodeId, Tree};

/// The bytes are a blob. What passes the check can be read to its end, by every accessor.
pub fn run(data: &[u8]) {
    let Ok(blob) = Blob::check(data) else {
        return;
    };
    assert!(blob.bytes().len() <= data.len());
    let _ = blob.reservations().count();
    let tree = Tree::new(blob);
    let nodes = read(&tree);
    let trimmed = blob.trimmed();
    let trimmed = Blob::check(&trimmed).expect("as good without its padding");
    assert_eq!(read(&Tree::new(trimmed)), nodes);
}

/// Reads everything in a tree; the number of nodes.
fn read(tree: &Tree<'_>) -> usize {
    for id in tree.ids() {
        let node = tree.node(id);
        let _ = (node.name(), node.base_name(), node.is_enabled());
        let _ = (node.address_cells(), node.size_cells());
        for property in node.properties() {
            let _ = (property.u32(), property.number(), property.string());
            let _ = (property.cells().count(), property.strings().count());
        }
        let _ = (tree.parent(id), tree.is_enabled(id));
        let _ = tree.children(id).count();
        // A path leads somewhere, though not always here: names may come twice.
        assert!(id == NodeId::ROOT || tree.path(id).starts_with('/'));
    }
    tree.ids().count()
}
