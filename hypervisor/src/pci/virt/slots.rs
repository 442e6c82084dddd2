//! Seats on the virtual bus, and interrupt lines.

use super::{IntxRoute, LINES, MAX_FUNCTIONS, VirtualHost};
use crate::pci::error::PciError;
use crate::pci::rid::Rid;
use crate::pci::topology::Topology;
use alloc::vec::Vec;

/// Where a physical function sits on the virtual bus.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    pub physical: Rid,
    pub rid: Rid,
    /// Other functions sit in the same slot.
    pub shared: bool,
}

/// Seats for all functions. Functions of one physical device share a slot: the
/// one they have physically if it is free, else the lowest free one; devices
/// on the root bus choose first.
pub fn seats(topology: &Topology, rids: &[Rid]) -> Result<Vec<Seat>, PciError> {
    let chosen = check(topology, rids)?;
    let mut devices: Vec<Rid> = Vec::new();
    for rid in &chosen {
        if !devices.contains(&rid.sibling(0)) {
            devices.push(rid.sibling(0));
        }
    }
    let mut taken = [false; 32];
    let mut seats = Vec::new();
    for device in devices {
        let slot = free(&taken, device.device()).ok_or(PciError::TooMany { rid: device })?;
        if let Some(taken) = taken.get_mut(usize::from(slot)) {
            *taken = true;
        }
        let members: Vec<Rid> = chosen
            .iter()
            .copied()
            .filter(|rid| rid.sibling(0) == device)
            .collect();
        seats.extend(seat(slot, &members));
    }
    Ok(seats)
}

/// The functions, root bus first, each known, whole and named once.
fn check(topology: &Topology, rids: &[Rid]) -> Result<Vec<Rid>, PciError> {
    let mut chosen: Vec<Rid> = Vec::new();
    for &rid in rids {
        let function = topology.get(rid)?;
        if !function.is_endpoint() {
            return Err(PciError::NotAnEndpoint { rid });
        }
        if chosen.contains(&rid) {
            return Err(PciError::Twice { rid });
        }
        if chosen.len() >= MAX_FUNCTIONS {
            return Err(PciError::TooMany { rid });
        }
        chosen.push(rid);
    }
    // By bus, then slot: the root bus has the lowest number.
    platform::sort::by_key(&mut chosen, |rid| *rid);
    Ok(chosen)
}

fn free(taken: &[bool; 32], wish: u8) -> Option<u8> {
    core::iter::once(wish)
        .chain(0..32)
        .find(|&slot| taken.get(usize::from(slot)) == Some(&false))
}

/// Functions keep their numbers if function 0 is among them, since nobody
/// looks for the others without it; otherwise they close up.
fn seat(slot: u8, members: &[Rid]) -> impl Iterator<Item = Seat> + '_ {
    let keep = members.iter().any(|rid| rid.function() == 0);
    (0u8..).zip(members).map(move |(index, &physical)| {
        let number = if keep { physical.function() } else { index };
        Seat {
            physical,
            rid: Rid::new(0, slot, number),
            shared: members.len() > 1,
        }
    })
}

impl VirtualHost {
    /// Gives a physical interrupt a virtual line of its own and returns the
    /// pin that the function must show, so that the standard swizzle
    /// `(slot + pin - 1) mod 4` leads there. Keeps the physical pin where its
    /// line is free, which on QEMU's virt machine is always.
    pub(super) fn route(&mut self, seat: &Seat, pin: u8, spi: u32) -> Result<u8, PciError> {
        let slot = seat.rid.device();
        let natural = slot.wrapping_add(pin).wrapping_sub(1) & 3;
        let line = self
            .line_of(spi)
            .or_else(|| {
                core::iter::once(natural)
                    .chain(0..LINES as u8)
                    .find(|&l| self.is_free(l))
            })
            .ok_or(PciError::NoLine {
                rid: seat.physical,
                spi,
            })?;
        if self.line_of(spi).is_none() {
            let virtual_spi = self.virtual_spi(line);
            // `is_free` found one of four lines free, so there is room.
            let _ = self.routes.try_push(IntxRoute {
                physical_spi: spi,
                virtual_spi,
            });
        }
        Ok((line.wrapping_sub(slot) & 3).wrapping_add(1))
    }

    fn virtual_spi(&self, line: u8) -> u32 {
        self.config.first_spi.saturating_add(u32::from(line))
    }

    fn line_of(&self, spi: u32) -> Option<u8> {
        let route = self.routes.iter().find(|route| route.physical_spi == spi)?;
        (0..LINES as u8).find(|&line| self.virtual_spi(line) == route.virtual_spi)
    }

    fn is_free(&self, line: u8) -> bool {
        let spi = self.virtual_spi(line);
        self.routes.iter().all(|route| route.virtual_spi != spi)
    }
}
