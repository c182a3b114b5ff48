package main

import (
	"errors"
	"fmt"
	"maps"

	components "github.com/dapr/dapr/pkg/apis/components/v1alpha1"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	serving "knative.dev/serving/pkg/apis/serving/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// openFunction is what Duebell uses of OpenFunction's Function, core.openfunction.io/v1beta2,
// written after its published schema: the module that has it can't be had. Fields that are
// not here are refused.
type openFunction struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		Version          string                     `json:"version,omitempty"`
		Image            string                     `json:"image"`
		ImageCredentials *core.LocalObjectReference `json:"imageCredentials,omitempty"`
		WorkloadRuntime  string                     `json:"workloadRuntime,omitempty"`
		Serving          *openServing               `json:"serving,omitempty"`
	} `json:"spec"`
}

type openServing struct {
	Triggers struct {
		HTTP *struct {
			Port   int32      `json:"port,omitempty"`
			Engine string     `json:"engine,omitempty"`
			Route  *openRoute `json:"route,omitempty"`
		} `json:"http,omitempty"`
		Dapr []openDapr `json:"dapr,omitempty"`
	} `json:"triggers"`
	ScaleOptions struct {
		MinReplicas *int32            `json:"minReplicas,omitempty"`
		MaxReplicas *int32            `json:"maxReplicas,omitempty"`
		Knative     map[string]string `json:"knative,omitempty"`
		Keda        *openKeda         `json:"keda,omitempty"`
	} `json:"scaleOptions"`
	Outputs []struct {
		Dapr openDapr `json:"dapr"`
	} `json:"outputs,omitempty"`
	Pubsub      map[string]components.ComponentSpec `json:"pubsub,omitempty"`
	Params      map[string]string                   `json:"params,omitempty"`
	Labels      map[string]string                   `json:"labels,omitempty"`
	Annotations map[string]string                   `json:"annotations,omitempty"`
	Template    *core.PodSpec                       `json:"template,omitempty"`
	Timeout     *meta.Duration                      `json:"timeout,omitempty"`
}

type openRoute struct {
	GatewayRef *struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"gatewayRef,omitempty"`
	Hostnames []gateway.Hostname      `json:"hostnames,omitempty"`
	Rules     []gateway.HTTPRouteRule `json:"rules,omitempty"`
}

type openDapr struct {
	Name  string `json:"name"`
	Type  string `json:"type,omitempty"`
	Topic string `json:"topic,omitempty"`
}

type openKeda struct {
	ScaledObject *struct {
		PollingInterval *int32 `json:"pollingInterval,omitempty"`
		CooldownPeriod  *int32 `json:"cooldownPeriod,omitempty"`
	} `json:"scaledObject,omitempty"`
	Triggers []struct {
		Type     string            `json:"type"`
		Metadata map[string]string `json:"metadata"`
	} `json:"triggers,omitempty"`
}

// validate checks what OpenFunction's webhook checks of a function whose image is built.
func (f *openFunction) validate() error {
	var problems []error
	s := f.Spec.Serving
	switch {
	case f.Spec.Image == "":
		problems = append(problems, errors.New("spec.image is missing"))
	case s == nil:
		return errors.New("spec.serving is missing")
	case s.Triggers.HTTP == nil && len(s.Triggers.Dapr) == 0:
		problems = append(problems, errors.New("nothing triggers it"))
	case s.Triggers.HTTP != nil && len(s.Triggers.Dapr) > 0:
		problems = append(problems, errors.New("it has both kinds of triggers: OpenFunction then runs it for Dapr only"))
	}
	if s == nil || s.Template == nil || len(s.Template.Containers) != 1 || s.Template.Containers[0].Name != "function" {
		return errors.Join(append(problems, errors.New(`spec.serving.template must have one container, called "function": OpenFunction would add another`))...)
	}
	for _, p := range []*core.Probe{s.Template.Containers[0].ReadinessProbe, s.Template.Containers[0].LivenessProbe, s.Template.Containers[0].StartupProbe} {
		if p != nil && p.HTTPGet != nil && p.HTTPGet.Port.IntValue() == 0 {
			problems = append(problems, errors.New("a probe has no port: the schema of Function, unlike Knative's, wants one"))
		}
	}
	if lowest, most := s.ScaleOptions.MinReplicas, s.ScaleOptions.MaxReplicas; lowest != nil && most != nil && (*lowest < 0 || *lowest > *most) {
		problems = append(problems, fmt.Errorf("minReplicas %d, maxReplicas %d", *lowest, *most))
	}
	if s.Triggers.HTTP != nil {
		switch s.Triggers.HTTP.Engine {
		case "", "knative", "keda":
		default:
			problems = append(problems, fmt.Errorf("the engine %q is unknown", s.Triggers.HTTP.Engine))
		}
		if r := s.Triggers.HTTP.Route; r != nil && (len(r.Rules) > 16 || len(r.Hostnames) > 16) {
			problems = append(problems, errors.New("a route has at most 16 rules and 16 host names"))
		}
	}
	return errors.Join(append(problems, validate(f.knative()))...)
}

// knative returns the Service that OpenFunction makes of it.
func (f *openFunction) knative() *serving.Service {
	pods := f.Spec.Serving.Template.DeepCopy()
	pods.Containers[0].Image = f.Spec.Image
	if http := f.Spec.Serving.Triggers.HTTP; http != nil && http.Port != 0 {
		pods.Containers[0].Ports = append(pods.Containers[0].Ports, core.ContainerPort{ContainerPort: http.Port})
	}
	service := &serving.Service{ObjectMeta: meta.ObjectMeta{Name: f.Name, Namespace: f.Namespace}}
	template := &service.Spec.Template
	template.Labels, template.Annotations = f.Spec.Serving.Labels, maps.Clone(f.Spec.Serving.Annotations)
	template.Spec.PodSpec = *pods
	if template.Annotations == nil {
		template.Annotations = map[string]string{}
	}
	maps.Copy(template.Annotations, f.Spec.Serving.ScaleOptions.Knative)
	for name, replicas := range map[string]*int32{"min-scale": f.Spec.Serving.ScaleOptions.MinReplicas, "max-scale": f.Spec.Serving.ScaleOptions.MaxReplicas} {
		if replicas != nil {
			template.Annotations["autoscaling.knative.dev/"+name] = fmt.Sprint(*replicas)
		}
	}
	return service
}
