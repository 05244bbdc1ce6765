//! The bytes of everything that is sent or stored, for good: whoever changes one of these breaks clients that are out there
//! or data that is on disks. A row is a message's name, its JSON and its protobuf in hexadecimal.
//!
//! A new message or field gets a row or a value here; what is here never changes.

use buffa_descriptor::generated::descriptor::field_descriptor_proto::Type;
use buffa_descriptor::generated::descriptor::{DescriptorProto, FileDescriptorSet};
use hudhud_proto::v1;
use hudhud_proto::{DESCRIPTORS, Encoding, Message};
use std::collections::{BTreeMap, BTreeSet};

/// A row: which message, its JSON, its protobuf; and what reads and writes the two of them.
struct Golden {
    name: &'static str,
    json: &'static str,
    hex: &'static str,
    json_to_protobuf: fn(&str) -> Vec<u8>,
    protobuf_to_json: fn(&[u8]) -> String,
}

macro_rules! golden {
    ($($message:ident $json:literal $hex:literal;)*) => {
        [$(Golden {
            name: stringify!($message),
            json: $json,
            hex: $hex,
            json_to_protobuf: |json| {
                let message: v1::$message = serde_json::from_str(json).expect("the row is JSON of its message");
                message.encode_to_vec()
            },
            protobuf_to_json: |bytes| {
                let message = v1::$message::decode_from_slice(bytes).expect("the row is protobuf of its message");
                serde_json::to_string(&message).expect("messages are JSON")
            },
        }),*]
    };
}

/// Frames go through [`Encoding`], whose JSON carries text payloads as text.
macro_rules! frames {
    ($decode:ident $encode:ident: $($message:ident $json:literal $hex:literal;)*) => {
        [$(Golden {
            name: stringify!($message),
            json: $json,
            hex: $hex,
            json_to_protobuf: |json| {
                let frame = Encoding::Json.$decode(json.as_bytes()).expect("the row is a JSON frame");
                Encoding::Protobuf.$encode(&frame).to_vec()
            },
            protobuf_to_json: |bytes| {
                let frame = Encoding::Protobuf.$decode(bytes).expect("the row is a protobuf frame");
                String::from_utf8(Encoding::Json.$encode(&frame).to_vec()).expect("JSON is UTF-8")
            },
        }),*]
    };
}

#[rustfmt::skip]
const CLIENT_FRAMES: &[Golden] = &frames! { decode_client encode_client:
    ClientFrame r#"{"request":"7","hello":{"token":"hht_example","client":"hudhud-chat/0.1","active":true,"connectionNumber":"9"}}"#
        "080712220a0b6868745f6578616d706c65120f6875646875642d636861742f302e3118012009";
    ClientFrame r#"{"request":"7","ping":{"inboxVersion":"41"}}"#
        "08071a020829";
    ClientFrame r#"{"request":"7","pong":{"inboxVersion":"41"}}"#
        "080722020829";
    ClientFrame r#"{"request":"7","register":{"handle":"alice","password":"correct horse","invite":"K7QM","deviceName":"laptop","displayName":"Alice"}}"#
        "0807522b0a05616c696365120d636f727265637420686f7273651a044b37514d22066c6170746f702a05416c696365";
    ClientFrame r#"{"request":"7","logIn":{"handle":"alice","password":"correct horse","deviceName":"laptop"}}"#
        "08075a1e0a05616c696365120d636f727265637420686f7273651a066c6170746f70";
    ClientFrame r#"{"request":"7","logInJwt":{"jwt":"e30.e30.c2ln","deviceName":"laptop"}}"#
        "080762160a0c6533302e6533302e63326c6e12066c6170746f70";
    ClientFrame r#"{"request":"7","logOut":{}}"#
        "08076a00";
    ClientFrame r#"{"request":"7","changePassword":{"oldPassword":"correct horse","newPassword":"battery staple"}}"#
        "0807721f0a0d636f727265637420686f727365120e6261747465727920737461706c65";
    ClientFrame r#"{"request":"7","createRegistrationInvite":{}}"#
        "08077a00";
    ClientFrame r#"{"request":"7","listDevices":{}}"#
        "0807820100";
    ClientFrame r#"{"request":"7","removeDevice":{"device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ=="}}"#
        "08078a01120a100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d";
    ClientFrame r#"{"request":"7","createToken":{"label":"bot","validS":"3600"}}"#
        "08079201080a03626f7410901c";
    ClientFrame r#"{"request":"7","listTokens":{}}"#
        "08079a0100";
    ClientFrame r#"{"request":"7","revokeToken":{"id":"BwcHBwcHBwcHBwcHBwcHBw=="}}"#
        "0807a201120a1007070707070707070707070707070707";
    ClientFrame r#"{"request":"7","lookUp":{"handle":"bob"}}"#
        "0807aa01050a03626f62";
    ClientFrame r#"{"request":"7","getProfile":{"account":"AgICAgICAgICAgICAgICAg==","conversation":"DAwMDAwMDAwMDAwMDAwMDA=="}}"#
        "0807b201240a100202020202020202020202020202020212100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c";
    ClientFrame r#"{"request":"7","setProfile":{"displayName":"Alice"}}"#
        "0807ba01070a05416c696365";
    ClientFrame r#"{"request":"7","getPrivacy":{}}"#
        "0807c20100";
    ClientFrame r#"{"request":"7","setPrivacy":{"privacy":{"lastSeen":"AUDIENCE_EVERYONE","online":"AUDIENCE_CONTACTS","readReceipts":"SWITCH_OFF","groups":"AUDIENCE_NOBODY"}}}"#
        "0807ca010a0a080801100218022003";
    ClientFrame r#"{"request":"7","block":{"account":"AgICAgICAgICAgICAgICAg=="}}"#
        "0807d201120a1002020202020202020202020202020202";
    ClientFrame r#"{"request":"7","unblock":{"account":"AgICAgICAgICAgICAgICAg=="}}"#
        "0807da01120a1002020202020202020202020202020202";
    ClientFrame r#"{"request":"7","listBlocks":{}}"#
        "0807e20100";
    ClientFrame r#"{"request":"7","listBlocks":{"cursor":"Y3Vyc29y"}}"#
        "0807e201080a06637572736f72";
    ClientFrame r#"{"request":"7","setContact":{"account":"AgICAgICAgICAgICAgICAg==","alias":"Bobby"}}"#
        "0807ea01190a10020202020202020202020202020202021205426f626279";
    ClientFrame r#"{"request":"7","removeContact":{"account":"AgICAgICAgICAgICAgICAg=="}}"#
        "0807f201120a1002020202020202020202020202020202";
    ClientFrame r#"{"request":"7","listContacts":{}}"#
        "0807fa0100";
    ClientFrame r#"{"request":"7","listContacts":{"cursor":"Y3Vyc29y"}}"#
        "0807fa01080a06637572736f72";
    ClientFrame r#"{"request":"7","report":{"account":"AgICAgICAgICAgICAgICAg==","conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seqs":["4","300"],"category":"REPORT_CATEGORY_ABUSE","text":"rude","contents":[{"contentType":"text/plain","text":"boo"}]}}"#
        "08078202440a100202020202020202020202020202020212100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1a0304ac0220022a047275646532110a0a746578742f706c61696e1203626f6f";
    ClientFrame r#"{"request":"7","openDirect":{"account":"AgICAgICAgICAgICAgICAg=="}}"#
        "0807c202120a1002020202020202020202020202020202";
    ClientFrame r#"{"request":"7","openDirect":{"handle":"bob"}}"#
        "0807c202051203626f62";
    ClientFrame r#"{"request":"7","createGroup":{"messageId":"AYvP5WgAdweHBwcHBwcHBw==","title":"Hoopoes","members":["AQEBAQEBAQEBAQEBAQEBAQ==","AgICAgICAgICAgICAgICAg=="],"announceOnly":"SWITCH_ON"}}"#
        "0807ca02410a10018bcfe56800770787070707070707071207486f6f706f65731a10010101010101010101010101010101011a10020202020202020202020202020202022001";
    ClientFrame r#"{"request":"7","getConversation":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA=="}}"#
        "0807d202120a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c";
    ClientFrame r#"{"request":"7","listMembers":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","cursor":"Y3Vyc29y"}}"#
        "0807da021a0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1206637572736f72";
    ClientFrame r#"{"request":"7","updateGroup":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","messageId":"AYvP5WgAdweHBwcHBwcHBw==","title":"Hoopoes","announceOnly":"SWITCH_OFF"}}"#
        "0807e2022f0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210018bcfe56800770787070707070707071a07486f6f706f65732002";
    ClientFrame r#"{"request":"7","addMembers":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","messageId":"AYvP5WgAdweHBwcHBwcHBw==","members":["AgICAgICAgICAgICAgICAg=="]}}"#
        "0807ea02360a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210018bcfe56800770787070707070707071a1002020202020202020202020202020202";
    ClientFrame r#"{"request":"7","removeMember":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","messageId":"AYvP5WgAdweHBwcHBwcHBw==","member":"AgICAgICAgICAgICAgICAg=="}}"#
        "0807f202360a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210018bcfe56800770787070707070707071a1002020202020202020202020202020202";
    ClientFrame r#"{"request":"7","leaveGroup":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","messageId":"AYvP5WgAdweHBwcHBwcHBw=="}}"#
        "0807fa02240a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210018bcfe5680077078707070707070707";
    ClientFrame r#"{"request":"7","setRole":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","messageId":"AYvP5WgAdweHBwcHBwcHBw==","member":"AgICAgICAgICAgICAgICAg==","role":"ROLE_ADMIN"}}"#
        "08078203380a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210018bcfe56800770787070707070707071a10020202020202020202020202020202022002";
    ClientFrame r#"{"request":"7","createInvite":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","validS":"3600"}}"#
        "08078a03150a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c10901c";
    ClientFrame r#"{"request":"7","listInvites":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA=="}}"#
        "08079203120a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c";
    ClientFrame r#"{"request":"7","revokeInvite":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","code":"K7QM"}}"#
        "08079a03180a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c12044b37514d";
    ClientFrame r#"{"request":"7","previewInvite":{"code":"K7QM"}}"#
        "0807a203060a044b37514d";
    ClientFrame r#"{"request":"7","joinByInvite":{"code":"K7QM","messageId":"AYvP5WgAdweHBwcHBwcHBw=="}}"#
        "0807aa03180a044b37514d1210018bcfe5680077078707070707070707";
    ClientFrame r#"{"request":"7","setPreferences":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","preferences":{"mutedUntilUs":"18446744073709551615","pinned":true,"archived":true}}}"#
        "0807b203230a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c120f08ffffffffffffffffff0110011801";
    ClientFrame r#"{"request":"7","send":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","messageId":"AYvP5WgAdweHBwcHBwcHBw==","resend":true,"content":{"contentType":"text/plain","text":"hello"}}}"#
        "0807e2033b0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210018bcfe5680077078707070707070707180122130a0a746578742f706c61696e120568656c6c6f";
    ClientFrame r#"{"request":"7","send":{"messageId":"AYvP5WgAdweHBwcHBwcHBw==","content":{"contentType":"application/octet-stream","payload":"/wD+"},"directWith":"AgICAgICAgICAgICAgICAg=="}}"#
        "0807e203451210018bcfe5680077078707070707070707221f0a186170706c69636174696f6e2f6f637465742d73747265616d1203ff00fe2a1002020202020202020202020202020202";
    ClientFrame r#"{"request":"7","fetch":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","fromSeq":"41","limit":50,"backward":true}}"#
        "0807ea03180a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c102918322001";
    ClientFrame r#"{"request":"7","received":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"41"}}"#
        "0807f203140a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1029";
    ClientFrame r#"{"request":"7","read":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"38"}}"#
        "0807fa03140a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1026";
    ClientFrame r#"{"request":"7","changes":{"cursor":"Y3Vyc29y"}}"#
        "08078204080a06637572736f72";
    ClientFrame r#"{"request":"7","listReceipts":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA=="}}"#
        "08078a04120a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c";
    ClientFrame r#"{"request":"7","typing":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","typing":true}}"#
        "08078205140a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1001";
    ClientFrame r#"{"request":"7","watchPresence":{"accounts":["AQEBAQEBAQEBAQEBAQEBAQ==","AgICAgICAgICAgICAgICAg=="]}}"#
        "08078a05240a10010101010101010101010101010101010a1002020202020202020202020202020202";
    ClientFrame r#"{"request":"7","setActive":{"active":true}}"#
        "08079205020801";
};

#[rustfmt::skip]
const SERVER_FRAMES: &[Golden] = &frames! { decode_server encode_server:
    ServerFrame r#"{"request":"7","error":{"code":"ERROR_CODE_RATE_LIMITED","message":"too many log-ins at this handle: wait","retryAfterMs":30000,"connectionNumber":"9"}}"#
        "0807122f08071225746f6f206d616e79206c6f672d696e7320617420746869732068616e646c653a207761697418b0ea012009";
    ServerFrame r#"{"request":"7","done":{}}"#
        "08071a00";
    ServerFrame r#"{"request":"7","welcome":{"account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","handle":"alice","serverTimeUs":"1700000000123456","pingIntervalMs":30000,"limits":{"frameBytesMax":131072,"payloadBytesMax":65536,"pageEntriesMax":200,"sendsInFlightMax":256,"groupMembersMax":1024}}}"#
        "0807224b0a100101010101010101010101010101010112100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d1a05616c69636520c0c480c1c1c4820328b0ea013211088080081080800418c801208002288008";
    ServerFrame r#"{"ping":{"inboxVersion":"41"}}"#
        "2a020829";
    ServerFrame r#"{"request":"7","pong":{"inboxVersion":"41"}}"#
        "080732020829";
    ServerFrame r#"{"request":"7","loggedIn":{"account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","handle":"alice","token":"hht_example","expiresUs":"1715552000000000"}}"#
        "080752410a100101010101010101010101010101010112100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d1a05616c696365220b6868745f6578616d706c65288080b79c91898603";
    ServerFrame r#"{"request":"7","registrationInvite":{"code":"K7QM","expiresUs":"1715552000000000"}}"#
        "08075a0f0a044b37514d108080b79c91898603";
    ServerFrame r#"{"request":"7","deviceList":{"devices":[{"device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","name":"laptop","createdUs":"1700000000123456","connected":true,"current":true}]}}"#
        "080762290a270a100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d12066c6170746f7018c0c480c1c1c4820320012801";
    ServerFrame r#"{"request":"7","tokenCreated":{"id":"BwcHBwcHBwcHBwcHBwcHBw==","token":"hht_example","expiresUs":"1715552000000000"}}"#
        "08076a280a1007070707070707070707070707070707120b6868745f6578616d706c65188080b79c91898603";
    ServerFrame r#"{"request":"7","tokenList":{"tokens":[{"id":"BwcHBwcHBwcHBwcHBwcHBw==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","label":"bot","createdUs":"1700000000123456","expiresUs":"1715552000000000","current":true}]}}"#
        "0807723f0a3d0a100707070707070707070707070707070712100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d1a03626f7420c0c480c1c1c48203288080b79c918986033001";
    ServerFrame r#"{"request":"7","profile":{"account":"AQEBAQEBAQEBAQEBAQEBAQ==","handle":"alice","displayName":"Alice"}}"#
        "08077a200a10010101010101010101010101010101011205616c6963651a05416c696365";
    ServerFrame r#"{"request":"7","privacy":{"lastSeen":"AUDIENCE_EVERYONE","online":"AUDIENCE_CONTACTS","readReceipts":"SWITCH_OFF","groups":"AUDIENCE_NOBODY"}}"#
        "08078201080801100218022003";
    ServerFrame r#"{"request":"7","blockList":{"accounts":[{"account":"AgICAgICAgICAgICAgICAg==","handle":"bob","displayName":"Bob"}]}}"#
        "08078a011e0a1c0a10020202020202020202020202020202021203626f621a03426f62";
    ServerFrame r#"{"request":"7","blockList":{"accounts":[{"account":"AgICAgICAgICAgICAgICAg==","handle":"bob","displayName":"Bob"}],"nextCursor":"Y3Vyc29y"}}"#
        "08078a01260a1c0a10020202020202020202020202020202021203626f621a03426f621206637572736f72";
    ServerFrame r#"{"request":"7","contactList":{"contacts":[{"profile":{"account":"AgICAgICAgICAgICAgICAg==","handle":"bob","displayName":"Bob"},"alias":"Bobby"}]}}"#
        "08079201270a250a1c0a10020202020202020202020202020202021203626f621a03426f621205426f626279";
    ServerFrame r#"{"request":"7","contactList":{"contacts":[{"profile":{"account":"AgICAgICAgICAgICAgICAg==","handle":"bob","displayName":"Bob"},"alias":"Bobby"}],"nextCursor":"Y3Vyc29y"}}"#
        "080792012f0a250a1c0a10020202020202020202020202020202021203626f621a03426f621205426f6262791206637572736f72";
    ServerFrame r#"{"request":"7","conversation":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","kind":"CONVERSATION_KIND_DIRECT","title":"Hoopoes","headSeq":"41","memberCount":2,"role":"ROLE_OWNER","announceOnly":true,"peer":{"account":"AgICAgICAgICAgICAgICAg==","handle":"bob","displayName":"Bob"},"visible":[{"from":"1","to":"9"},{"from":"12"}],"createdUs":"1700000000123456"}}"#
        "0807c202560a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c10011a07486f6f706f65732029280230033801421c0a10020202020202020202020202020202021203626f621a03426f624a04080110094a02080c50c0c480c1c1c48203";
    ServerFrame r#"{"request":"7","conversation":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","closed":true}}"#
        "0807c202140a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c5801";
    ServerFrame r#"{"request":"7","memberList":{"members":[{"profile":{"account":"AgICAgICAgICAgICAgICAg==","handle":"bob","displayName":"Bob"},"role":"ROLE_MEMBER"}],"nextCursor":"Y3Vyc29y"}}"#
        "0807ca022a0a200a1c0a10020202020202020202020202020202021203626f621a03426f6210011206637572736f72";
    ServerFrame r#"{"request":"7","changeAccepted":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","messageId":"AYvP5WgAdweHBwcHBwcHBw==","notAdded":["AwMDAwMDAwMDAwMDAwMDAw=="]}}"#
        "0807d202360a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210018bcfe56800770787070707070707071a1003030303030303030303030303030303";
    ServerFrame r#"{"request":"7","invite":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","code":"K7QM","expiresUs":"1715552000000000","createdBy":"AQEBAQEBAQEBAQEBAQEBAQ=="}}"#
        "0807da02330a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c12044b37514d188080b79c91898603221001010101010101010101010101010101";
    ServerFrame r#"{"request":"7","inviteList":{"invites":[{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","code":"K7QM","expiresUs":"1715552000000000","createdBy":"AQEBAQEBAQEBAQEBAQEBAQ=="}]}}"#
        "0807e202350a330a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c12044b37514d188080b79c91898603221001010101010101010101010101010101";
    ServerFrame r#"{"request":"7","invitePreview":{"title":"Hoopoes","memberCount":2}}"#
        "0807ea020b0a07486f6f706f65731002";
    ServerFrame r#"{"request":"7","accepted":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","messageId":"AYvP5WgAdweHBwcHBwcHBw==","acceptedUs":"1700000000123456"}}"#
        "0807e2032d0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210018bcfe568007707870707070707070718c0c480c1c1c48203";
    ServerFrame r#"{"request":"7","entryPage":{"entries":[{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"41","prevSeq":"40","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","content":{"contentType":"text/plain","text":"hello"}},{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"42","prevSeq":"41","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","content":{"contentType":"application/octet-stream","payload":"/wD+"}}],"more":true,"headSeq":"42"}}"#
        "0807ea03e8010a6a0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c102918282210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c4820342130a0a746578742f706c61696e120568656c6c6f0a760a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c102a18292210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c48203421f0a186170706c69636174696f6e2f6f637465742d73747265616d1203ff00fe1001182a";
    ServerFrame r#"{"request":"7","changePage":{"rows":[{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","kind":"CONVERSATION_KIND_GROUP","headSeq":"41","activityUs":"1700000000123456","readSeq":"38","preferences":{"mutedUntilUs":"18446744073709551615","pinned":true,"archived":true}}],"cursor":"Y3Vyc29y","more":true,"inboxVersion":"41"}}"#
        "0807f203400a320a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1002182920c0c480c1c1c482032826320f08ffffffffffffffffff01100118011206637572736f7218012029";
    ServerFrame r#"{"request":"7","receiptList":{"members":[{"account":"AgICAgICAgICAgICAgICAg==","receivedSeq":"41","readSeq":"38"}],"receivedByAllSeq":"41","readByAllSeq":"38"}}"#
        "0807fa031c0a160a10020202020202020202020202020202021029182610291826";
    ServerFrame r#"{"request":"7","presenceList":{"accounts":[{"account":"AgICAgICAgICAgICAgICAg==","online":true,"lastSeenUs":"1700000000123456"}]}}"#
        "080782041f0a1d0a1002020202020202020202020202020202100118c0c480c1c1c48203";
    ServerFrame r#"{"entry":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"41","prevSeq":"40","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","content":{"contentType":"text/plain","text":"hello"}}}"#
        "82056a0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c102918282210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c4820342130a0a746578742f706c61696e120568656c6c6f";
    ServerFrame r#"{"entry":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"2","prevSeq":"1","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","event":{"created":{"title":"Hoopoes","members":["AQEBAQEBAQEBAQEBAQEBAQ==","AgICAgICAgICAgICAgICAg=="],"announceOnly":true}}}}"#
        "820588010a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c100218012210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c482034a310a2f0a07486f6f706f65731210010101010101010101010101010101011210020202020202020202020202020202021801";
    ServerFrame r#"{"entry":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"3","prevSeq":"2","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","event":{"membersAdded":{"members":["AgICAgICAgICAgICAgICAg=="]}}}}"#
        "82056b0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c100318022210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c482034a1412120a1002020202020202020202020202020202";
    ServerFrame r#"{"entry":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"4","prevSeq":"3","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","event":{"memberRemoved":{"member":"AgICAgICAgICAgICAgICAg=="}}}}"#
        "82056b0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c100418032210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c482034a141a120a1002020202020202020202020202020202";
    ServerFrame r#"{"entry":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"4","prevSeq":"3","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AAAAAAAAAAAAAAAAAAAAAA==","senderDevice":"AAAAAAAAAAAAAAAAAAAAAA==","timeUs":"1700000000123456","event":{"memberRemoved":{"member":"AgICAgICAgICAgICAgICAg==","newOwner":"AQEBAQEBAQEBAQEBAQEBAQ=="}}}}"#
        "82057d0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c100418032210018bcfe56800770787070707070707072a100000000000000000000000000000000032100000000000000000000000000000000038c0c480c1c1c482034a261a240a1002020202020202020202020202020202121001010101010101010101010101010101";
    ServerFrame r#"{"entry":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"4","prevSeq":"3","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AAAAAAAAAAAAAAAAAAAAAA==","senderDevice":"AAAAAAAAAAAAAAAAAAAAAA==","timeUs":"1700000000123456","event":{"closed":{"reason":"spam"}}}}"#
        "82055f0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c100418032210018bcfe56800770787070707070707072a100000000000000000000000000000000032100000000000000000000000000000000038c0c480c1c1c482034a0842060a047370616d";
    ServerFrame r#"{"entry":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"5","prevSeq":"4","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","event":{"memberLeft":{}}}}"#
        "8205590a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c100518042210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c482034a022200";
    ServerFrame r#"{"entry":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"6","prevSeq":"5","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","event":{"memberLeft":{"newOwner":"AgICAgICAgICAgICAgICAg=="}}}}"#
        "82056b0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c100618052210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c482034a1422120a1002020202020202020202020202020202";
    ServerFrame r#"{"entry":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"7","prevSeq":"6","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","event":{"memberJoined":{}}}}"#
        "8205590a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c100718062210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c482034a022a00";
    ServerFrame r#"{"entry":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"8","prevSeq":"7","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","event":{"roleChanged":{"member":"AgICAgICAgICAgICAgICAg==","role":"ROLE_OWNER"}}}}"#
        "82056d0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c100818072210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c482034a1632140a10020202020202020202020202020202021003";
    ServerFrame r#"{"entry":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"9","prevSeq":"8","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","event":{"updated":{"title":"Hoopoes","announceOnly":"SWITCH_ON"}}}}"#
        "8205640a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c100918082210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c482034a0d3a0b0a07486f6f706f65731001";
    ServerFrame r#"{"receipt":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","kind":"RECEIPT_KIND_READ","seq":"38","account":"AgICAgICAgICAgICAgICAg=="}}"#
        "8a05280a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c10021826221002020202020202020202020202020202";
    ServerFrame r#"{"refused":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","messageId":"AYvP5WgAdweHBwcHBwcHBw==","error":{"code":"ERROR_CODE_FORBIDDEN","message":"you are no member of this group any more","retryAfterMs":1}}}"#
        "9205540a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210018bcfe56800770787070707070707071a2e08031228796f7520617265206e6f206d656d626572206f6620746869732067726f757020616e79206d6f72651801";
    ServerFrame r#"{"typingNotice":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","account":"AgICAgICAgICAgICAgICAg==","typing":true}}"#
        "9a05260a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210020202020202020202020202020202021801";
    ServerFrame r#"{"presence":{"account":"AgICAgICAgICAgICAgICAg==","online":true,"lastSeenUs":"1700000000123456"}}"#
        "a2051d0a1002020202020202020202020202020202100118c0c480c1c1c48203";
    ServerFrame r#"{"goingAway":{"reconnectAfterMs":1500}}"#
        "aa050308dc0b";
    ServerFrame r#"{"lagging":{}}"#
        "b20500";
    ServerFrame r#"{"preferencesChanged":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","preferences":{"mutedUntilUs":"18446744073709551615","pinned":true,"archived":true}}}"#
        "ba05230a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c120f08ffffffffffffffffff0110011801";
};

#[rustfmt::skip]
const STORED: &[Golden] = &golden! {
    Record r#"{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","acceptedUs":"1700000000123456","submit":{"messageId":"AYvP5WgAdweHBwcHBwcHBw==","resend":true,"directAccounts":["AQEBAQEBAQEBAQEBAQEBAQ==","AgICAgICAgICAgICAgICAg=="],"content":{"contentType":"text/plain","payload":"aGVsbG8="}}}"#
        "0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210010101010101010101010101010101011a100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d20c0c480c1c1c482032a4d0a10018bcfe568007707870707070707070710011a10010101010101010101010101010101011a100202020202020202020202020202020222130a0a746578742f706c61696e120568656c6c6f";
    Record r#"{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","acceptedUs":"1700000000123456","submit":{"messageId":"AYvP5WgAdweHBwcHBwcHBw==","event":{"memberLeft":{}}}}"#
        "0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210010101010101010101010101010101011a100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d20c0c480c1c1c482032a160a10018bcfe56800770787070707070707072a022200";
    Record r#"{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","acceptedUs":"1700000000123456","watermark":{"kind":"RECEIPT_KIND_READ","seq":"38","ownDevicesOnly":true}}"#
        "0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210010101010101010101010101010101011a100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d20c0c480c1c1c482033206080210261801";
    AcceptedRow r#"{"record":{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","acceptedUs":"1700000000123456","submit":{"messageId":"AYvP5WgAdweHBwcHBwcHBw==","resend":true,"directAccounts":["AQEBAQEBAQEBAQEBAQEBAQ==","AgICAgICAgICAgICAgICAg=="],"content":{"contentType":"text/plain","payload":"aGVsbG8="}}}}"#
        "0a8e010a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c1210010101010101010101010101010101011a100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d20c0c480c1c1c482032a4d0a10018bcfe568007707870707070707070710011a10010101010101010101010101010101011a100202020202020202020202020202020222130a0a746578742f706c61696e120568656c6c6f";
    SequencedRow r#"{"seq":"41","position":"281474976710733","bodyHash":"CQkJCQkJCQkJCQkJCQkJCQ==","refused":{"code":"ERROR_CODE_FORBIDDEN","message":"no"}}"#
        "082910cd8080808080401a10090909090909090909090909090909092206080312026e6f";
    Entry r#"{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","seq":"41","prevSeq":"40","messageId":"AYvP5WgAdweHBwcHBwcHBw==","sender":"AQEBAQEBAQEBAQEBAQEBAQ==","senderDevice":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","timeUs":"1700000000123456","content":{"contentType":"text/plain","payload":"aGVsbG8="}}"#
        "0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c102918282210018bcfe56800770787070707070707072a100101010101010101010101010101010132100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d38c0c480c1c1c4820342130a0a746578742f706c61696e120568656c6c6f";
    HeadRow r#"{"kind":"CONVERSATION_KIND_GROUP","seq":"41","position":"281474976710733","timeUs":"1700000000123456","title":"Hoopoes","announceOnly":true,"createdUs":"1700000000123456","lost":[{"from":"10","to":"1048585"}]}"#
        "0802102918cd80808080804020c0c480c1c1c482032a07486f6f706f6573300138c0c480c1c1c482034206080a10898040";
    MemberRow r#"{"role":"ROLE_ADMIN","visible":[{"from":"1","to":"9"},{"from":"12"}]}"#
        "08021204080110091202080c";
    HeadRow r#"{"kind":"CONVERSATION_KIND_GROUP","seq":"41","closed":true}"#
        "080210294801";
    InboxHeadRow r#"{"kind":"CONVERSATION_KIND_DIRECT","headSeq":"41","activityUs":"1700000000123456"}"#
        "0801102918c0c480c1c1c48203";
    PreferencesRow r#"{"preferences":{"mutedUntilUs":"18446744073709551615","pinned":true,"archived":true},"changedUs":"1700000000123456"}"#
        "0a0f08ffffffffffffffffff011001180110c0c480c1c1c48203";
    SeqRow r#"{"seq":"41","changedUs":"1700000000123456"}"#
        "082910c0c480c1c1c48203";
    SessionRow r#"{"gateway":"g1","incarnation":"5","connection":"9","token":"BwcHBwcHBwcHBwcHBwcHBw==","active":true,"connectedUs":"1700000000123456","number":"9","hasEnded":true}"#
        "0a02673110051809221007070707070707070707070707070707280130c0c480c1c1c4820338094001";
    SessionSet r#"{"sessions":[{"device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","session":{"gateway":"g1","incarnation":"5","connection":"9","token":"BwcHBwcHBwcHBwcHBwcHBw==","active":true,"connectedUs":"1700000000123456"},"version":"1700000000123456"}]}"#
        "0a420a100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d12250a02673110051809221007070707070707070707070707070707280130c0c480c1c1c4820318c0c480c1c1c48203";
    LeaseRow r#"{"incarnation":"5","expiresUs":"1715552000000000","address":"10.0.0.7:8081"}"#
        "0805108080b79c918986031a0d31302e302e302e373a38303831";
    AccountRow r#"{"handle":"alice","displayName":"Alice","createdUs":"1700000000123456"}"#
        "0a05616c6963651205416c69636518c0c480c1c1c48203";
    PasswordRow r#"{"hash":"$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"}"#
        "0a2c246172676f6e32696424763d3139246d3d31393435362c743d322c703d3124633246736441246147467a6141";
    PasswordRow r#"{"hash":"$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA","changedUs":"1700000000123456"}"#
        "0a2c246172676f6e32696424763d3139246d3d31393435362c743d322c703d3124633246736441246147467a614110c0c480c1c1c48203";
    PasswordRow r#"{"hash":"$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA","changedUs":"1700000000123456","onceUntilUs":"1715552000000000"}"#
        "0a2c246172676f6e32696424763d3139246d3d31393435362c743d322c703d3124633246736441246147467a614110c0c480c1c1c48203188080b79c91898603";
    PasswordUsedRow r#"{"by":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ=="}"#
        "0a100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d";
    StandingRow r#"{"suspended":true,"deleted":true,"reason":"spam","sinceUs":"1700000000123456"}"#
        "080110011a047370616d20c0c480c1c1c48203";
    ListedRow r#"{"createdUs":"1700000000123456"}"#
        "08c0c480c1c1c48203";
    AdminTokenRow r#"{"id":"BgYGBgYGBgYGBgYGBgYGBg==","label":"cron","scopes":["accounts:read","reports:write"],"createdUs":"1700000000123456","expiresUs":"1715552000000000"}"#
        "0a1006060606060606060606060606060606120463726f6e1a0d6163636f756e74733a726561641a0d7265706f7274733a777269746520c0c480c1c1c48203288080b79c91898603";
    ReportRow r#"{"reporter":"AQEBAQEBAQEBAQEBAQEBAQ==","report":{"account":"AgICAgICAgICAgICAgICAg==","category":"REPORT_CATEGORY_SPAM"},"createdUs":"1700000000123456","resolvedUs":"1715552000000000","resolution":"warned"}"#
        "0a100101010101010101010101010101010112140a1002020202020202020202020202020202200118c0c480c1c1c48203208080b79c918986032a067761726e6564";
    HandleRow r#"{"account":"AQEBAQEBAQEBAQEBAQEBAQ=="}"#
        "0a1001010101010101010101010101010101";
    DeviceRow r#"{"name":"laptop","createdUs":"1700000000123456"}"#
        "0a066c6170746f7010c0c480c1c1c48203";
    TokenRow r#"{"account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","id":"BwcHBwcHBwcHBwcHBwcHBw==","expiresUs":"1715552000000000"}"#
        "0a100101010101010101010101010101010112100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d1a1007070707070707070707070707070707208080b79c91898603";
    TokenInfoRow r#"{"device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","label":"bot","createdUs":"1700000000123456","expiresUs":"1715552000000000","tokenHash":"CAgICAgICAgICAgICAgICA=="}"#
        "0a100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d1203626f7418c0c480c1c1c48203208080b79c918986032a1008080808080808080808080808080808";
    PrivacyRow r#"{"privacy":{"lastSeen":"AUDIENCE_EVERYONE","online":"AUDIENCE_CONTACTS","readReceipts":"SWITCH_OFF","groups":"AUDIENCE_NOBODY"}}"#
        "0a080801100218022003";
    BlockRow r#"{"sinceUs":"1700000000123456"}"#
        "08c0c480c1c1c48203";
    ContactRow r#"{"alias":"Bobby"}"#
        "0a05426f626279";
    LastSeenRow r#"{"timeUs":"1700000000123456"}"#
        "08c0c480c1c1c48203";
    InviteRow r#"{"conversation":"DAwMDAwMDAwMDAwMDAwMDA==","createdBy":"AQEBAQEBAQEBAQEBAQEBAQ==","expiresUs":"1715552000000000"}"#
        "0a100c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c121001010101010101010101010101010101188080b79c91898603";
    RegistrationInviteRow r#"{"createdBy":"AQEBAQEBAQEBAQEBAQEBAQ==","expiresUs":"1715552000000000"}"#
        "0a1001010101010101010101010101010101108080b79c91898603";
    WatcherSet r#"{"watchers":[{"account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","untilUs":"1715552000000000"}]}"#
        "0a2d0a100101010101010101010101010101010112100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d188080b79c91898603";
};

#[rustfmt::skip]
const BETWEEN_PROCESSES: &[Golden] = &golden! {
    PushBatch r#"{"gateway":"east","incarnation":"7","deliveries":[{"targets":[{"account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","connection":"9"}],"frame":"KgIIKQ=="}]}"#
        "0a046561737410071a2e0a042a02082922260a100101010101010101010101010101010112100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d1809";
    PushBatch r#"{"gateway":"east","incarnation":"7","deliveries":[{"targets":[{"account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","connection":"9"}],"revoked":"BwcHBwcHBwcHBwcHBwcHBw=="}]}"#
        "0a046561737410071a3a12100707070707070707070707070707070722260a100101010101010101010101010101010112100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d1809";
    PushBatch r#"{"gateway":"east","incarnation":"7","deliveries":[{"targets":[{"account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","connection":"9"}],"suspended":{}}]}"#
        "0a046561737410071a2a1a0022260a100101010101010101010101010101010112100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d1809";
    PushOutcome r#"{"absent":[{"account":"AQEBAQEBAQEBAQEBAQEBAQ==","device":"DQ0NDQ0NDQ0NDQ0NDQ0NDQ==","connection":"9"}]}"#
        "0a260a100101010101010101010101010101010112100d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d1809";
};

fn rows() -> impl Iterator<Item = &'static Golden> {
    CLIENT_FRAMES.iter().chain(SERVER_FRAMES).chain(STORED).chain(BETWEEN_PROCESSES)
}

/// Every message's bytes are what they were when its row was written, in both encodings and both directions.
#[test]
fn bytes_are_as_they_always_were() {
    let mut wrong = String::new();
    for Golden { name, json, hex, json_to_protobuf, protobuf_to_json } in rows() {
        let bytes = json_to_protobuf(json);
        let found = to_hex(&bytes);
        if found != *hex {
            wrong.push_str(&format!("{name}{json}\t{found}\n"));
        }
        assert_eq!(protobuf_to_json(&bytes), *json, "the JSON of a {name} changed");
    }
    assert!(wrong.is_empty(), "the protobuf of these changed (name and JSON, what it is now):\n{wrong}");
}

/// Nothing is left out: each field of each message has a value in some row. `Content.text` is only ever JSON.
#[test]
fn every_field_of_every_message_is_in_a_row() {
    let messages = messages();
    let mut seen = BTreeSet::new();
    for row in rows() {
        mark(&messages, row.name, &from_hex(row.hex), &mut seen);
    }
    let all: BTreeSet<_> = messages
        .iter()
        .flat_map(|(name, message)| {
            message.field.iter().map(move |field| (name.clone(), field.name.clone().unwrap_or_default()))
        })
        .filter(|field| *field != ("Content".into(), "text".into()))
        .collect();
    let missing: Vec<_> = all.difference(&seen).collect();
    assert!(missing.is_empty(), "no row sets these fields: {missing:?}");
}

/// The schema's messages by name.
fn messages() -> BTreeMap<String, DescriptorProto> {
    let set = FileDescriptorSet::decode_from_slice(DESCRIPTORS).expect("the build wrote it");
    set.file.into_iter().flat_map(|file| file.message_type).map(|m| (m.name.clone().unwrap_or_default(), m)).collect()
}

/// Notes which fields a message's bytes have, and those of the messages inside.
fn mark(
    messages: &BTreeMap<String, DescriptorProto>,
    name: &str,
    mut bytes: &[u8],
    seen: &mut BTreeSet<(String, String)>,
) {
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = messages[name].field.iter().find(|field| field.number.map(i64::from) == Some((tag >> 3) as i64));
        let field = field.unwrap_or_else(|| panic!("{name} has no field {}", tag >> 3));
        seen.insert((name.to_owned(), field.name.clone().unwrap_or_default()));
        let value = match tag & 7 {
            0 => {
                varint(&mut bytes);
                continue;
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                value
            }
            other => panic!("no message of this schema uses wire type {other}"),
        };
        if field.r#type == Some(Type::TYPE_MESSAGE) {
            let inner =
                field.type_name.as_deref().and_then(|name| name.rsplit('.').next()).expect("a message has a name");
            mark(messages, inner, value, seen);
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a varint ends inside its message");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2) && hex.is_ascii(), "{hex:?} is not hexadecimal");
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}
