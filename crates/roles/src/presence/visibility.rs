//! Who may see what of an account: its privacy settings, its contacts, and blocks either way.

use crate::services::Services;
use crate::tables;
use hudhud_ports::Result;
use hudhud_proto::v1::{Audience, Privacy, PrivacyRow, Switch};
use hudhud_proto::{AccountId, EnumValue};

/// What a viewer may see of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visible {
    /// Whether it is online.
    pub online: bool,
    /// When it was seen last.
    pub last_seen: bool,
}

/// An account's privacy settings, those it never chose at their defaults: everyone, on.
pub async fn privacy_of(services: &Services, account: AccountId) -> Result<Privacy> {
    let row = services.directory.get(tables::privacy(account)).await?;
    let row: PrivacyRow = row.map(|row| tables::read(&row)).transpose()?.unwrap_or_default();
    let mut privacy = row.privacy.into_option().unwrap_or_default();
    for audience in [&mut privacy.last_seen, &mut privacy.online, &mut privacy.groups] {
        if *audience == Audience::Unspecified {
            *audience = Audience::Everyone.into();
        }
    }
    if privacy.read_receipts == Switch::Unspecified {
        privacy.read_receipts = Switch::On.into();
    }
    Ok(privacy)
}

/// Whether an account blocks another one.
pub async fn blocks(services: &Services, owner: AccountId, other: AccountId) -> Result<bool> {
    Ok(services.directory.get(tables::block(owner, other)).await?.is_some())
}

/// Whether a viewer is in an owner's audience. An audience that this version does not know is nobody.
pub async fn allows(
    services: &Services,
    audience: EnumValue<Audience>,
    owner: AccountId,
    viewer: AccountId,
) -> Result<bool> {
    Ok(match audience.as_known() {
        _ if owner == viewer => true,
        Some(Audience::Everyone | Audience::Unspecified) => true,
        Some(Audience::Contacts) => services.directory.get(tables::contact(owner, viewer)).await?.is_some(),
        Some(Audience::Nobody) | None => false,
    })
}

/// What a viewer may see of an owner with these settings. A block in either direction hides everything.
pub async fn visible(services: &Services, privacy: &Privacy, owner: AccountId, viewer: AccountId) -> Result<Visible> {
    let online = allows(services, privacy.online, owner, viewer).await?;
    let last_seen = allows(services, privacy.last_seen, owner, viewer).await?;
    let shown = online || last_seen;
    if owner != viewer && shown && (blocks(services, owner, viewer).await? || blocks(services, viewer, owner).await?) {
        return Ok(Visible { online: false, last_seen: false });
    }
    Ok(Visible { online, last_seen })
}
