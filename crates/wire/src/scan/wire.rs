//! The encoding of protobuf, as far as it can be read without knowing the message.

/// How a value is encoded. Groups are not among them: no version of the protocol has any.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WireType {
    Varint,
    Fixed64,
    Len,
    Fixed32,
}

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Result<T> = std::result::Result<T, &'static str>;

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// What was read since that position.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// The number of the next field and how its value is encoded.
    pub(super) fn tag(&mut self) -> Result<(u32, WireType)> {
        let tag = u32::try_from(self.varint()?).map_err(|_| "a field number out of range")?;
        let wire_type = match tag & 7 {
            0 => WireType::Varint,
            1 => WireType::Fixed64,
            2 => WireType::Len,
            5 => WireType::Fixed32,
            _ => return Err("an unknown wire type"),
        };
        match tag >> 3 {
            0 => Err("field number 0"),
            number => Ok((number, wire_type)),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if let Some(&byte) = rest.first()
            && byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(byte));
        }
        let mut value = 0;
        for (place, &byte) in rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                if place == 9 && byte > 1 {
                    return Err("a number of more than 64 bits");
                }
                self.at += place + 1;
                return Ok(value);
            }
        }
        Err(if rest.len() < 10 { "it ends within a number" } else { "a number of more than 64 bits" })
    }

    pub(super) fn len_delimited(&mut self) -> Result<&'a [u8]> {
        let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        self.take(len)
    }

    pub(super) fn skip(&mut self, wire_type: WireType) -> Result<()> {
        match wire_type {
            WireType::Varint => self.varint().map(drop),
            WireType::Fixed64 => self.take(8).map(drop),
            WireType::Len => self.len_delimited().map(drop),
            WireType::Fixed32 => self.take(4).map(drop),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let end = self.at.saturating_add(len);
        let bytes = self.bytes.get(self.at..end).ok_or("it ends within a value")?;
        self.at = end;
        Ok(bytes)
    }
}
