//! Sorting in few instructions of code rather than of time.

/// Sorts by `key`, equal elements in their order. For the lists of a board and
/// its configuration, which have tens of elements at most: the time grows with
/// the square. The standard library's sorts are made for thousands, and take
/// kilobytes of code for each type.
pub fn by_key<T, K: Ord>(list: &mut [T], key: impl Fn(&T) -> K) {
    for end in 1..list.len() {
        for at in (1..=end).rev() {
            if key(&list[at - 1]) <= key(&list[at]) {
                break;
            }
            list.swap(at - 1, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::by_key;
    use alloc::vec::Vec;

    /// Every list of up to six of three keys.
    #[test]
    fn sorts_as_the_library_does() {
        for number in 0..3usize.pow(6) {
            for len in 0..=6 {
                let key = |at: usize| (number / 3usize.pow(at as u32) % 3, at);
                let mut ours: Vec<_> = (0..len).map(key).collect();
                let mut theirs = ours.clone();
                by_key(&mut ours, |pair| pair.0);
                theirs.sort_by_key(|pair| pair.0);
                assert_eq!(ours, theirs);
            }
        }
    }
}
