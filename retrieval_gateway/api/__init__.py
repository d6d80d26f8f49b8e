"""The wire: protobuf in and out, the services, and the one mapping of errors to gRPC statuses."""
