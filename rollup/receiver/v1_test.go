package receiver_test

import (
	"sync"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The message of Remote-Write 1.0, of which no library here has a type: as its
// specification describes it.
const descriptionV1 = `
	name: "v1.proto" package: "prometheus" syntax: "proto3"
	message_type { name: "WriteRequest"
		field { name: "timeseries" number: 1 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".prometheus.TimeSeries" }
		field { name: "metadata" number: 3 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".prometheus.MetricMetadata" }
	}
	message_type { name: "MetricMetadata"
		field { name: "type" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
		field { name: "metric_family_name" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
		field { name: "help" number: 4 type: TYPE_STRING label: LABEL_OPTIONAL }
		field { name: "unit" number: 5 type: TYPE_STRING label: LABEL_OPTIONAL }
	}
	message_type { name: "TimeSeries"
		field { name: "labels" number: 1 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".prometheus.Label" }
		field { name: "samples" number: 2 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".prometheus.Sample" }
		field { name: "exemplars" number: 3 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".prometheus.Exemplar" }
		field { name: "histograms" number: 4 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".prometheus.Histogram" }
	}
	message_type { name: "Label"
		field { name: "name" number: 1 type: TYPE_BYTES label: LABEL_OPTIONAL }
		field { name: "value" number: 2 type: TYPE_BYTES label: LABEL_OPTIONAL }
	}
	message_type { name: "Sample"
		field { name: "value" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
		field { name: "timestamp" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
	}
	message_type { name: "Exemplar"
		field { name: "labels" number: 1 type: TYPE_MESSAGE label: LABEL_REPEATED type_name: ".prometheus.Label" }
		field { name: "value" number: 2 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
		field { name: "timestamp" number: 3 type: TYPE_INT64 label: LABEL_OPTIONAL }
	}
	message_type { name: "Histogram"
		field { name: "sum" number: 3 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
		field { name: "timestamp" number: 15 type: TYPE_INT64 label: LABEL_OPTIONAL }
	}`

var packageV1 = sync.OnceValue(func() protoreflect.FileDescriptor {
	var description descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal([]byte(descriptionV1), &description); err != nil {
		panic(err)
	}
	file, err := protodesc.NewFile(&description, nil)
	if err != nil {
		panic(err)
	}
	return file
})

// messageV1 makes a message of 1.0. Fields are names and values by turns; a value is
// what the field holds, or, of a list, one more element of it.
func messageV1(name protoreflect.Name, fields ...any) *dynamicpb.Message {
	m := dynamicpb.NewMessage(packageV1().Messages().ByName(name))
	for i := 0; i < len(fields); i += 2 {
		field := m.Descriptor().Fields().ByName(protoreflect.Name(fields[i].(string)))
		value := fields[i+1]
		if part, ok := value.(proto.Message); ok {
			value = part.ProtoReflect()
		}
		if text, ok := value.(string); ok && field.Kind() == protoreflect.BytesKind {
			value = []byte(text)
		}
		if field.IsList() {
			m.Mutable(field).List().Append(protoreflect.ValueOf(value))
		} else {
			m.Set(field, protoreflect.ValueOf(value))
		}
	}
	return m
}

func labelV1(name, value string) *dynamicpb.Message {
	return messageV1("Label", "name", name, "value", value)
}
