package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	components "github.com/dapr/dapr/pkg/apis/components/v1alpha1"
	configuration "github.com/dapr/dapr/pkg/apis/configuration/v1alpha1"
	resiliency "github.com/dapr/dapr/pkg/apis/resiliency/v1alpha1"
	subscriptions "github.com/dapr/dapr/pkg/apis/subscriptions/v2alpha1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8syaml "k8s.io/apimachinery/pkg/util/yaml"
	sources "knative.dev/eventing/pkg/apis/sources/v1"
	"knative.dev/pkg/apis"
	serving "knative.dev/serving/pkg/apis/serving/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"
	"sigs.k8s.io/yaml"
)

// kinds makes an object of each kind that the manifests may hold.
var kinds = map[string]func() any{
	"v1 Namespace":                                     func() any { return &core.Namespace{} },
	"v1 ServiceAccount":                                func() any { return &core.ServiceAccount{} },
	"v1 ConfigMap":                                     func() any { return &core.ConfigMap{} },
	"v1 Secret":                                        func() any { return &core.Secret{} },
	"v1 Service":                                       func() any { return &core.Service{} },
	"apps/v1 Deployment":                               func() any { return &apps.Deployment{} },
	"batch/v1 Job":                                     func() any { return &batch.Job{} },
	"networking.k8s.io/v1 NetworkPolicy":               func() any { return &networking.NetworkPolicy{} },
	"policy/v1 PodDisruptionBudget":                    func() any { return &policy.PodDisruptionBudget{} },
	"serving.knative.dev/v1 Service":                   func() any { return &serving.Service{} },
	"sources.knative.dev/v1 PingSource":                func() any { return &sources.PingSource{} },
	"gateway.networking.k8s.io/v1 HTTPRoute":           func() any { return &gateway.HTTPRoute{} },
	"gateway.networking.k8s.io/v1beta1 ReferenceGrant": func() any { return &gatewayv1beta1.ReferenceGrant{} },
	"dapr.io/v1alpha1 Component":                       func() any { return &components.Component{} },
	"dapr.io/v1alpha1 Configuration":                   func() any { return &configuration.Configuration{} },
	"dapr.io/v1alpha1 Resiliency":                      func() any { return &resiliency.Resiliency{} },
	"dapr.io/v2alpha1 Subscription":                    func() any { return &subscriptions.Subscription{} },
	"core.openfunction.io/v1beta2 Function":            func() any { return &openFunction{} },
}

// object is one resource: as its type has it, and where it is.
type object struct {
	name string // kind/name
	any
}

// decode reads the resources in some YAML. Each must be of a kind that is known, and have
// no field that its kind does not have.
func decode(text []byte, all schemas) (objects []object, problems []string) {
	reader := k8syaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, problems
		}
		if err != nil {
			return objects, append(problems, err.Error())
		}
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		o, err := decodeOne(document, all)
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", o.name, err))
		}
		objects = append(objects, o)
	}
}

func decodeOne(document []byte, all schemas) (object, error) {
	var raw unstructured.Unstructured
	encoded, err := yaml.YAMLToJSONStrict(document)
	if err == nil {
		err = raw.UnmarshalJSON(encoded)
	}
	if err != nil {
		return object{name: "a document"}, err
	}
	kind := raw.GetAPIVersion() + " " + raw.GetKind()
	o := object{name: raw.GetKind() + "/" + raw.GetName()}
	blank, ok := kinds[kind]
	if !ok {
		return o, fmt.Errorf("nothing is known of the kind %s: add it to kinds in tools/manifests/objects.go", kind)
	}
	o.any = blank()
	if err := yaml.UnmarshalStrict(document, o.any); err != nil {
		return o, err
	}
	return o, errors.Join(all.validate(kind, raw.Object), validate(o.any))
}

// validate checks an object as the webhook of its project does.
func validate(typed any) error {
	ctx := apis.WithinCreate(context.Background())
	switch o := typed.(type) {
	case *serving.Service:
		o.SetDefaults(ctx)
		return asError(o.Validate(ctx))
	case *sources.PingSource:
		o.SetDefaults(ctx)
		return asError(o.Validate(ctx))
	case *openFunction:
		return o.validate()
	}
	return nil
}

// asError is nil for no error, which a nil *apis.FieldError is not.
func asError(err *apis.FieldError) error {
	if err == nil {
		return nil
	}
	return err
}
