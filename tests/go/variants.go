package main

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// variant fills every field of a message in one way. What nests deeper than
// depth stays empty, which keeps the file small; nested messages have cases of
// their own.
type variant struct {
	name   string
	depth  int
	length int // of lists and maps
	text   func(field protoreflect.FieldDescriptor, i int) string
	number func(field protoreflect.FieldDescriptor) protoreflect.Value
	enum   func(values protoreflect.EnumValueDescriptors, i int) protoreflect.EnumNumber
	// only says which messages have this variant at all.
	only func(m protoreflect.MessageDescriptor) bool
}

var variants = append([]variant{
	{name: "empty", only: always},
	{name: "full", depth: 9, length: 1, text: named, number: small, enum: nth, only: hasFields},
	{name: "present", depth: 1, length: 0, only: hasMessages},
	{name: "max", depth: 1, length: 2, text: unicode, number: largest, enum: last, only: hasFields},
	{name: "min", depth: 1, length: 1, text: blank, number: smallest, enum: unknown, only: hasFields},
	{name: "removal", depth: 1, length: 2, text: marked, number: small, enum: nth, only: hasTexts},
}, enumVariants()...)

// enumVariants set the enums of a message to their first, second, … value.
func enumVariants() []variant {
	const most = 16
	var list []variant
	for n := range most {
		list = append(list, variant{
			name: fmt.Sprintf("enum %d", n),
			only: func(m protoreflect.MessageDescriptor) bool { return n < enumSize(m) },
			enum: func(values protoreflect.EnumValueDescriptors, i int) protoreflect.EnumNumber {
				return nth(values, n+i-1)
			},
			length: 1,
		})
	}
	return list
}

// fill applies the variant, if the message has it.
func (v variant) fill(m protoreflect.Message) bool {
	if !v.only(m.Descriptor()) {
		return false
	}
	v.set(m, v.depth)
	return true
}

func (v variant) set(m protoreflect.Message, depth int) {
	all := m.Descriptor().Fields()
	for i := range all.Len() {
		f := all.Get(i)
		switch {
		case f.IsMap():
			for n := range v.length {
				if value, ok := v.value(f.MapValue(), n, depth, func() protoreflect.Value { return m.NewField(f).Map().NewValue() }); ok {
					if key, ok := v.value(f.MapKey(), n, depth, nil); ok {
						m.Mutable(f).Map().Set(key.MapKey(), value)
					}
				}
			}
		case f.IsList():
			for n := range v.length {
				if value, ok := v.value(f, n, depth, func() protoreflect.Value { return m.NewField(f).List().NewElement() }); ok {
					m.Mutable(f).List().Append(value)
				}
			}
		default:
			if value, ok := v.value(f, 0, depth, func() protoreflect.Value { return m.NewField(f) }); ok {
				m.Set(f, value)
			}
		}
	}
}

func (v variant) value(f protoreflect.FieldDescriptor, i, depth int, empty func() protoreflect.Value) (protoreflect.Value, bool) {
	switch f.Kind() {
	case protoreflect.MessageKind:
		if depth == 0 {
			return protoreflect.Value{}, false
		}
		nested := empty()
		v.set(nested.Message(), depth-1)
		return nested, true
	case protoreflect.StringKind:
		if v.text == nil {
			return protoreflect.Value{}, false
		}
		return protoreflect.ValueOfString(v.text(f, i)), true
	case protoreflect.EnumKind:
		if v.enum == nil {
			return protoreflect.Value{}, false
		}
		return protoreflect.ValueOfEnum(v.enum(f.Enum().Values(), i+1)), true
	default:
		if v.number == nil {
			return protoreflect.Value{}, false
		}
		return v.number(f), true
	}
}

func always(protoreflect.MessageDescriptor) bool      { return true }
func hasFields(m protoreflect.MessageDescriptor) bool { return m.Fields().Len() > 0 }

func hasMessages(m protoreflect.MessageDescriptor) bool { return has(m, protoreflect.MessageKind) }
func hasTexts(m protoreflect.MessageDescriptor) bool    { return has(m, protoreflect.StringKind) }

func has(m protoreflect.MessageDescriptor, kind protoreflect.Kind) bool {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if f.Kind() == kind && !f.IsMap() || f.IsMap() && f.MapKey().Kind() == kind {
			return true
		}
	}
	return false
}

// enumSize is the largest number of values of an enum in m.
func enumSize(m protoreflect.MessageDescriptor) int {
	size := 0
	for i := range m.Fields().Len() {
		if f := m.Fields().Get(i); f.Kind() == protoreflect.EnumKind {
			size = max(size, f.Enum().Values().Len())
		}
	}
	return size
}

func named(f protoreflect.FieldDescriptor, i int) string { return fmt.Sprintf("%s %d", f.Name(), i) }
func marked(f protoreflect.FieldDescriptor, i int) string {
	return fmt.Sprintf("-%s %d", f.Name(), i)
}
func blank(protoreflect.FieldDescriptor, int) string { return "" }

func unicode(_ protoreflect.FieldDescriptor, i int) string {
	return []string{"ünï→\U0001F980\u0000\u202e", "\uffff=\n\"\\"}[i]
}

func nth(values protoreflect.EnumValueDescriptors, i int) protoreflect.EnumNumber {
	return values.Get(i % values.Len()).Number()
}

func last(values protoreflect.EnumValueDescriptors, _ int) protoreflect.EnumNumber {
	return values.Get(values.Len() - 1).Number()
}

// unknown is a number that no enum of the protocol has.
func unknown(protoreflect.EnumValueDescriptors, int) protoreflect.EnumNumber { return -7 }

func small(f protoreflect.FieldDescriptor) protoreflect.Value { return number(f, 1, int64(f.Number())) }

func largest(f protoreflect.FieldDescriptor) protoreflect.Value {
	return number(f, math.MaxUint64, math.MaxInt64)
}

func smallest(f protoreflect.FieldDescriptor) protoreflect.Value {
	return number(f, 0, math.MinInt64)
}

// number gives a number of the field's type: signed for signed types, clipped
// to 32 bits where they are; unsigned (1: the field's number) for the others.
func number(f protoreflect.FieldDescriptor, unsigned uint64, signed int64) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(unsigned > 0)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(min(max(signed, math.MinInt32), math.MaxInt32)))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(signed)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(uint32(min(unsigned, math.MaxUint32)))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(unsigned)
	}
	panic(fmt.Sprintf("the protocol has no fields of kind %s", f.Kind()))
}
