package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"sigs.k8s.io/yaml"
)

// The parts of Kubernetes' types that are used here.

type metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// object is an object of an overlay.
type object struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metadata          `json:"metadata"`
	Data       map[string]string `json:"data"`
	Spec       jsontext.Value    `json:"spec"`
}

// group is the object's API without its version.
func (o object) group() string {
	group, _, found := strings.Cut(o.APIVersion, "/")
	if !found {
		return ""
	}
	return group
}

type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// find returns the condition of a type.
func find(all []condition, kind string) condition {
	for _, c := range all {
		if c.Type == kind {
			return c
		}
	}
	return condition{Type: kind, Status: "Unknown"}
}

// says returns a condition's text on one line.
func (c condition) says() string {
	text := strings.Join(strings.Fields(c.Message), " ")
	switch {
	case text != "" && len(text) > 400:
		return text[:400] + " ..."
	case text != "":
		return text
	case c.Reason != "":
		return c.Reason
	}
	return "nothing is known yet"
}

type keyRef struct {
	Name     string `json:"name"`
	Key      string `json:"key"`
	Optional bool   `json:"optional"`
}

type container struct {
	Name  string   `json:"name"`
	Image string   `json:"image"`
	Args  []string `json:"args"`
	Env   []struct {
		Name      string `json:"name"`
		Value     string `json:"value"`
		ValueFrom struct {
			SecretKeyRef keyRef `json:"secretKeyRef"`
		} `json:"valueFrom"`
	} `json:"env"`
	EnvFrom []struct {
		SecretRef keyRef `json:"secretRef"`
	} `json:"envFrom"`
}

// value returns the value of a variable in the manifest.
func (c container) value(name string) string {
	for _, v := range c.Env {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

type podSpec struct {
	Containers []container `json:"containers"`
}

type podTemplate struct {
	Metadata metadata `json:"metadata"`
	Spec     podSpec  `json:"spec"`
}

// pod is a pod that runs, or should.
type pod struct {
	Metadata metadata `json:"metadata"`
	Spec     podSpec  `json:"spec"`
}

// workload runs pods: a Deployment, a StatefulSet, a Job, a Knative Service.
type workload struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Replicas *int        `json:"replicas"`
		Template podTemplate `json:"template"`
	} `json:"spec"`
	Status struct {
		ReadyReplicas     int         `json:"readyReplicas"`
		AvailableReplicas int         `json:"availableReplicas"`
		Conditions        []condition `json:"conditions"`
	} `json:"status"`
}

func (w workload) wants() int {
	if w.Spec.Replicas == nil {
		return 1
	}
	return *w.Spec.Replicas
}

// pods returns the annotations and containers of the pods that an object of an overlay runs, if
// any.
func (o object) pods() (annotations map[string]string, containers []container, err error) {
	switch o.group() + "/" + o.Kind {
	case "apps/Deployment", "batch/Job", "serving.knative.dev/Service":
		var spec struct {
			Template podTemplate `json:"template"`
		}
		err = json.Unmarshal(o.Spec, &spec)
		return spec.Template.Metadata.Annotations, spec.Template.Spec.Containers, err
	case "core.openfunction.io/Function":
		var spec struct {
			Image   string `json:"image"`
			Serving struct {
				Annotations map[string]string `json:"annotations"`
				Template    podSpec           `json:"template"`
			} `json:"serving"`
		}
		err = json.Unmarshal(o.Spec, &spec)
		containers = spec.Serving.Template.Containers
		if len(containers) > 0 {
			containers[0].Image = spec.Image // as OpenFunction does
		}
		return spec.Serving.Annotations, containers, err
	}
	return nil, nil, nil
}

// render returns the objects that `kubectl apply -k` applies.
func (k Kubectl) render(ctx context.Context, overlay string) ([]object, error) {
	text, err := k.output(ctx, "", "kustomize", overlay)
	if err != nil {
		return nil, err
	}
	var objects []object
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		encoded, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, fmt.Errorf("what kubectl kustomize makes of it can't be read: %w", err)
		}
		var o object
		if err := json.Unmarshal(encoded, &o); err != nil {
			return nil, fmt.Errorf("what kubectl kustomize makes of it can't be read: %w", err)
		}
		objects = append(objects, o)
	}
	if len(objects) == 0 {
		return nil, errors.New("nothing is in it")
	}
	return objects, nil
}
