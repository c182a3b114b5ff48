package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"time"
)

// authority signs all certificates of one cluster.
type authority struct {
	home home
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

const certificatesLast = 30 * 24 * time.Hour

// newAuthority makes an authority, whose certificate is pki/ca.crt.
func newAuthority(h home) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a cluster's authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificatesLast),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &authority{home: h, cert: cert, key: key}
	return a, a.write("ca", der, key)
}

// issue makes pki/NAME.crt and pki/NAME.key, for a subject and the hosts it serves as.
func (a *authority) issue(name, commonName, organization string, hosts ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: commonName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(certificatesLast),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if organization != "" {
		template.Subject.Organization = []string{organization}
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	return a.write(name, der, key)
}

func (a *authority) write(name string, cert []byte, key *ecdsa.PrivateKey) error {
	private, err := x509.MarshalPKCS8PrivateKey(key)
	return errors.Join(err,
		writePEM(a.home.path("pki", name+".crt"), "CERTIFICATE", cert),
		writePEM(a.home.path("pki", name+".key"), "PRIVATE KEY", private))
}

// issueAll makes what every part of the cluster needs, with the key that signs the tokens of
// service accounts.
func (a *authority) issueAll() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	return errors.Join(err,
		writePEM(a.home.path("pki", "accounts.key"), "PRIVATE KEY", private),
		writePEM(a.home.path("pki", "accounts.pub"), "PUBLIC KEY", public),
		a.issue("apiserver", "kube-apiserver", "", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc.cluster.local", "10.96.0.1", "192.0.2.1", "127.0.0.1"),
		a.issue("kubelet-server", "node", "", "node", "192.0.2.1"),
		a.issue("admin", "admin", "system:masters"),
		a.issue("kubelet", "system:node:node", "system:nodes"),
		a.issue("controller-manager", "system:kube-controller-manager", ""),
		a.issue("scheduler", "system:kube-scheduler", ""),
		a.issue("proxy", "system:kube-proxy", ""),
		a.issue("aggregator", "aggregator", ""),
		a.issue("outside", "outside", "", "github.com", "dapr.github.io", registryHost),
		a.issue("api", "api", "", apiHost),
		a.issue("kafka", "kafka", "", "kafka.kafka.svc.cluster.local", "192.0.2.1"))
}

// trustToo writes a list of authorities that is the machine's and ours.
func (a *authority) trustToo(bundle, to string) error {
	known, err := os.ReadFile(bundle)
	if err != nil {
		return err
	}
	ours := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	return os.WriteFile(to, bytes.Join([][]byte{known, ours}, []byte("\n")), 0o644)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
