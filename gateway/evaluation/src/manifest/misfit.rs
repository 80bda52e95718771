//! Whether an input is one that the manifest asks for.

use super::Manifest;
use crate::interface::Input;

impl Manifest {
    /// Checks that every channel plays a role, with a code and a unit that the role permits and no finer than it asks for,
    /// and that every role that is not optional is played, by no more elements than it permits.
    ///
    /// The host calls it before a run: an application sees nothing that its manifest does not name.
    ///
    /// # Errors
    ///
    /// [`Misfit`] names the first channel or role that does not fit.
    pub fn check_input(&self, input: &Input) -> Result<(), Misfit> {
        for (index, channel) in input.channels.iter().enumerate() {
            let role = self.inputs().get(usize::from(channel.role));
            let role = role.ok_or(Misfit::Role { channel: index })?;
            if !role.obis.matches(channel.obis) || !role.units.contains(&channel.unit) {
                return Err(Misfit::Element { channel: index });
            }
            if channel.step < role.finest {
                return Err(Misfit::TooFine { channel: index });
            }
            let first = channel.readings.first();
            if !role.lead && first.is_some_and(|first| first.time < input.window.from()) {
                return Err(Misfit::Lead { channel: index });
            }
        }
        for (index, role) in self.inputs().iter().enumerate() {
            let players = input
                .channels
                .iter()
                .filter(|channel| usize::from(channel.role) == index);
            let found = players.count();
            if found > usize::from(role.at_most) {
                return Err(Misfit::TooMany {
                    role: role.role.clone(),
                    found,
                });
            }
            if found == 0 && !role.optional {
                return Err(Misfit::Missing {
                    role: role.role.clone(),
                });
            }
        }
        if input.parameters.len() != self.parameters().len() {
            return Err(Misfit::Parameters {
                found: input.parameters.len(),
            });
        }
        Ok(())
    }
}

/// The reason why an input is not one that the manifest asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A channel begins before the window, and its role does not ask for that.
    #[error("channel {channel} begins before the window, which its role does not ask for")]
    Lead {
        /// The channel's index.
        channel: usize,
    },
    /// A channel plays a role that the manifest does not have.
    #[error("channel {channel} plays no role of the application")]
    Role {
        /// The channel's index.
        channel: usize,
    },
    /// A channel's code or unit is none that its role permits.
    #[error("channel {channel} has a code or a unit that its role does not permit")]
    Element {
        /// The channel's index.
        channel: usize,
    },
    /// A channel is finer than its role asks for.
    #[error("channel {channel} is finer than the application needs to see")]
    TooFine {
        /// The channel's index.
        channel: usize,
    },
    /// Too many elements play a role.
    #[error("{found} elements play the role {role}, more than it permits")]
    TooMany {
        /// The role.
        role: String,
        /// How many do.
        found: usize,
    },
    /// Nobody plays a role that must be played.
    #[error("no element plays the role {role}")]
    Missing {
        /// The role.
        role: String,
    },
    /// The parameters are not those of the manifest.
    #[error("{found} parameters are given, and the application has another number")]
    Parameters {
        /// How many are given.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{input, manifest};

    fn misfit(change: impl FnOnce(&mut Input)) -> Result<(), Misfit> {
        let mut input = input();
        change(&mut input);
        manifest().check_input(&input)
    }

    #[test]
    fn what_the_manifest_does_not_ask_for_is_named() {
        assert_eq!(misfit(|_| ()), Ok(()));
        assert_eq!(
            misfit(|i| i.channels[0].role = 1),
            Err(Misfit::Role { channel: 0 })
        );
        let water = "8-0:1.0.0*255".parse().unwrap();
        assert_eq!(
            misfit(|i| i.channels[0].obis = water),
            Err(Misfit::Element { channel: 0 })
        );
        assert_eq!(
            misfit(|i| i.channels[0].unit = model::Unit::Watt),
            Err(Misfit::Element { channel: 0 })
        );
        let minute = model::Span::from_seconds(60).unwrap();
        assert_eq!(
            misfit(|i| i.channels[0].step = minute),
            Err(Misfit::TooFine { channel: 0 })
        );
        let five = |i: &mut Input| i.channels = vec![i.channels[0].clone(); 5];
        assert_eq!(
            misfit(five),
            Err(Misfit::TooMany {
                role: "energy".into(),
                found: 5
            })
        );
        assert_eq!(
            misfit(|i| i.channels.clear()),
            Err(Misfit::Missing {
                role: "energy".into()
            })
        );
        assert_eq!(
            misfit(|i| i.parameters.clear()),
            Err(Misfit::Parameters { found: 0 })
        );
    }
}
